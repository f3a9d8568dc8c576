"""WHO runs now, and the way in: the scheduler and its shell, the gate and the reverse proxy."""

VERSION = "0.1.0"
"""Of the code that runs; `setup.cfg` has the same."""
