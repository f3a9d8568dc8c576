"""How a process that has leave becomes an engine."""

from enum import StrEnum


class Method(StrEnum):
    """How the process at the gate goes on once it has leave."""

    FORK = "fork"
    """vLLM is imported, and forks its other processes from it."""
    SPAWN = "spawn"
    """vLLM is imported; its other processes import it once more."""
    PLAIN = "plain"
    """Nothing is done ahead: it becomes vLLM by exec."""
