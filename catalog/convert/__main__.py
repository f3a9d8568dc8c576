"""`.venv-vllm/bin/python -m catalog.convert SOURCE TARGET`."""

import sys

from catalog.convert.convert import main

sys.exit(main())
