"""The verbs of `bin/manage_vllm.sh`, one module for each kind. Each has `add_to(verbs)`."""
