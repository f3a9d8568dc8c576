import msgspec
import pytest

from catalog.check.check import Aspect
from catalog.check.vllm_question import LONGEST_LINE, Answer, Case, Fault, Question, one_line, short


class Framed(Exception):
    """As pydantic's: several errors, each with a place and a message."""

    def errors(self) -> list[dict[str, object]]:
        return [{"loc": ("a", 0), "msg": "Value error, too\nlong"}, {"loc": (), "msg": "more"}]


def test_question_and_answer_go_over_as_json_and_come_back_the_same() -> None:
    question = Question(cases=[Case(model="m", argv=["serve", "/w"], config={"a": None}, capability=(8, 6))])
    answer = Answer(vllm="0.32.0", faults=[Fault(model="m", aspect=Aspect.DTYPE, what="x")])
    assert msgspec.json.decode(msgspec.json.encode(question), type=Question) == question
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\n  b"), "a b"),
        (AssertionError(), "AssertionError"),
        (Framed("whole"), "a.0: too long"),
    ],
)
def test_an_error_is_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line


def test_a_long_line_is_cut() -> None:
    line = short("x" * 1000)
    assert (len(line), line[-3:]) == (LONGEST_LINE, "...")
