import io

import pytest

from catalog.download.progress import EVERY_S, Progress, duration

GIB = 2**30


class Screen:
    """A progress with a clock that is moved by hand."""

    def __init__(self, *, is_live: bool) -> None:
        self.now = 0.0
        self.out, self.err = io.StringIO(), io.StringIO()
        self.progress = Progress(self.out, self.err, is_live=is_live, clock=lambda: self.now)


def test_piped_a_plain_line_comes_every_few_seconds_with_done_total_rate_and_time_left() -> None:
    screen = Screen(is_live=False)
    screen.progress.begin("qwen", 10 * GIB, 2 * GIB)
    screen.progress.moved("qwen", GIB)
    screen.progress.draw()
    assert screen.out.getvalue() == ""
    screen.now = EVERY_S
    screen.progress.draw()
    screen.progress.draw()
    assert screen.out.getvalue() == "qwen: 3.00 GiB of 10.00 GiB (30%), 204.8 MiB/s, 35 s left\n"


def test_on_a_terminal_one_line_is_drawn_over_and_makes_way_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    screen = Screen(is_live=True)
    screen.progress.begin("a", GIB, 0)
    screen.progress.begin("b", GIB, 0)
    screen.now = 1.0
    screen.progress.draw()
    drawn = screen.out.getvalue()
    assert drawn.startswith("\r\x1b[Ka: 0.0 MiB of 1.00 GiB (0%), 0.0 MiB/s, no time known | b: ")
    assert "\n" not in drawn
    assert len(drawn) == len("\r\x1b[K") + 59
    screen.progress.tell("a: ready")
    assert screen.out.getvalue() == drawn + "\r\x1b[Ka: ready\n"


def test_the_rate_is_that_of_the_last_seconds_and_what_was_there_does_not_count() -> None:
    screen = Screen(is_live=False)
    screen.progress.begin("a", 10 * GIB, 5 * GIB)
    for second in range(0, 61, 5):
        screen.now = float(second)
        if second <= 40:
            screen.progress.moved("a", GIB // 100)
        screen.progress.draw()
    assert screen.out.getvalue().splitlines()[-1].endswith("0.0 MiB/s, no time known")


def test_what_is_thrown_away_is_not_received_again_backwards() -> None:
    screen = Screen(is_live=False)
    screen.progress.begin("a", GIB, 0)
    screen.progress.moved("a", GIB // 2)
    screen.progress.moved("a", -GIB // 2)
    screen.now = EVERY_S
    screen.progress.draw()
    assert screen.out.getvalue() == "a: 0.0 MiB of 1.00 GiB (0%), 102.4 MiB/s, 10 s left\n"


def test_what_else_is_done_is_said_and_what_is_over_is_not_shown() -> None:
    screen = Screen(is_live=False)
    screen.progress.doing("a", "reading what there is")
    screen.progress.begin("b", 0, 0)
    screen.progress.doing("b", "converting: why")
    screen.progress.end("a")
    screen.now = EVERY_S
    screen.progress.draw()
    screen.now = 2 * EVERY_S  # nothing has changed, and nothing is said
    screen.progress.draw()
    screen.progress.say("to the side")
    assert screen.out.getvalue() == "b: converting: why\n"
    assert screen.err.getvalue() == "to the side\n"


def test_piped_what_stands_still_is_told_once_and_again_when_it_moves() -> None:
    screen = Screen(is_live=False)
    screen.progress.begin("a", 10 * GIB, 0)
    for second in range(5, 41, 5):
        screen.now = float(second)
        screen.progress.draw()
    assert len(screen.out.getvalue().splitlines()) == 1
    screen.progress.moved("a", GIB)
    screen.now = 45.0
    screen.progress.draw()
    assert screen.out.getvalue().splitlines()[1].startswith("a: 1.00 GiB of 10.00 GiB")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7384, "2 h 3 min")]
)
def test_durations_are_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
