import math

import msgspec
import pytest

from proxy.core.probe import Answer, agrees, answer_of_vector


def test_texts_agree_only_when_they_are_the_same() -> None:
    assert agrees(Answer(text=" Rome."), Answer(text=" Rome."))
    assert not agrees(Answer(text=" Rome."), Answer(text=" Rome"))


def test_vectors_agree_when_they_point_the_same_way() -> None:
    one = answer_of_vector([0.5, 0.25, -0.125])
    assert agrees(one, answer_of_vector([0.5001, 0.25, -0.1251]))
    assert not agrees(one, answer_of_vector([0.5, 0.25, 0.125]))
    assert not agrees(one, answer_of_vector([0.5, 0.25]))


def test_a_text_and_a_vector_never_agree() -> None:
    assert not agrees(Answer(text="x"), answer_of_vector([1.0]))
    assert not agrees(answer_of_vector([1.0]), Answer(text="x"))


def test_a_vector_of_zeros_from_a_file_agrees_with_nothing() -> None:
    zeros = Answer(vector=(0.0, 0.0))
    assert not agrees(zeros, zeros)


def test_a_vector_is_kept_with_six_digits() -> None:
    assert answer_of_vector([0.123456789, 1.23456789e-9, 2.0]) == Answer(vector=(0.123457, 1.23457e-9, 2.0))


@pytest.mark.parametrize("vector", [[], [math.nan, 1.0], [math.inf], [0.0, 0.0]])
def test_what_is_no_direction_is_no_answer(vector: list[float]) -> None:
    with pytest.raises(ValueError, match="vector"):
        answer_of_vector(vector)


@pytest.mark.parametrize("answer", [Answer(text=" Rome.\n"), answer_of_vector([0.1, 1 / 3, 1e-12])])
def test_an_answer_survives_its_way_through_json(answer: Answer) -> None:
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer
