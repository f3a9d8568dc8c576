"""The probe: one short question with one right answer, and whether two answers to it agree. Pure."""

import math
import operator
from dataclasses import dataclass

PROBE_TEXT = "The capital of France is Paris, and the capital of Italy is"
SIGNIFICANT_DIGITS = 6
MIN_COSINE = 0.999
"""Below it two embeddings are of different texts, or of different weights; rounding errors stay far above."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine answered to the probe: a text, or the vector of an embedder. One of the two is None."""

    text: str | None = None
    vector: tuple[float, ...] | None = None


def answer_of_vector(vector: list[float]) -> Answer:
    """The answer of an embedder, rounded to what is worth keeping.

    Raises: ValueError where the vector is empty, holds a number that is not finite, or only zeros.
    """
    if not vector:
        raise ValueError("an empty vector")
    if not all(map(math.isfinite, vector)):
        raise ValueError("a vector with numbers that are not finite")
    if not any(vector):
        raise ValueError("a vector of zeros")
    return Answer(vector=tuple(float(f"{one:.{SIGNIFICANT_DIGITS}g}") for one in vector))


def agrees(one: Answer, other: Answer) -> bool:
    """Whether both are the same text, or vectors of one length that point the same way."""
    if one.vector is None or other.vector is None:
        return one == other
    return len(one.vector) == len(other.vector) and _cosine(one.vector, other.vector) >= MIN_COSINE


def _cosine(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(map(operator.mul, one, other)) / lengths if lengths else 0.0
