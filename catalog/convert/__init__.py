"""Makes of a checkpoint that vLLM cannot load one that it can."""
