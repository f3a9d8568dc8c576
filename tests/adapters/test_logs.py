import asyncio
from pathlib import Path

from proxy.adapters.logs import TAIL_BYTES, follow, last_exit, since, size, tail
from tests.upstream.conftest import until


def test_the_tail_is_the_last_lines_of_a_log_of_any_size(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {number}\n" for number in range(TAIL_BYTES)))
    assert tail(log, 2) == f"line {TAIL_BYTES - 2}\nline {TAIL_BYTES - 1}"


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b"\xff\xfe\n\x00end\n")
    assert tail(tmp_path / "x.log", 1) == "\x00end"


def test_a_log_that_is_empty_or_not_there_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.log").touch()
    assert "is empty" in tail(tmp_path / "x.log", 5)
    assert "No such file" in tail(tmp_path / "y.log", 5)


def test_since_is_what_follows_the_last_mark_or_all_of_it(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("old\nMARK one\nfirst\nMARK two\nsecond\n")
    assert since(log, "MARK ") == "second\n"
    assert since(log, "none") == log.read_text()
    assert since(tmp_path / "y.log", "MARK") == ""


def test_what_stood_there_before_is_left_out_unless_the_log_was_rotated(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert size(log) == 0
    log.write_text("MARK\nold\n")
    began_at = size(log)
    assert since(log, "MARK", began_at) == ""
    log.write_text("MARK\nold\nnew\n")
    assert tail(log, 5, began_at) == "new"
    assert since(log, "MARK", began_at) == "new\n"
    log.write_text("new\n")
    assert since(log, "MARK", began_at) == "new\n"


def test_how_a_program_ended_last_is_supervisords_to_tell(tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    assert last_exit(log, "a.b") is None
    log.write_text(
        "2026-01-01 00:00:00,000 WARN exited: a.b (terminated by SIGSEGV (core dumped); not expected)\n"
        "2026-01-01 00:00:01,000 WARN exited: a.b (terminated by SIGKILL; not expected)\n"
        "2026-01-01 00:00:02,000 WARN exited: aab (terminated by SIGTERM; not expected)\n"
        "2026-01-01 00:00:03,000 INFO stopped: a.b (terminated by SIGTERM)\n"
    )
    assert last_exit(log, "a.b") == "SIGKILL"
    assert last_exit(log, "c") is None
    log.write_text("WARN exited: a.b (terminated by SIGSEGV (core dumped); not expected)\n")
    assert last_exit(log, "a.b") == "SIGSEGV"
    log.write_text("WARN exited: a.b (exit status 2; not expected)\n")
    assert last_exit(log, "a.b") == "exit status 2"


async def test_a_log_is_followed_through_its_rotation_and_from_before_its_begin(tmp_path: Path) -> None:
    log, is_over = tmp_path / "x.log", False
    got: list[bytes] = []

    async def read() -> None:
        async for piece in follow(log, 5, lambda: is_over):
            got.append(piece)  # noqa: PERF401  # it is looked at meanwhile

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    log.write_text("first\n")
    await until(lambda: b"".join(got) == b"first\n")
    log.rename(tmp_path / "x.log.1")
    log.write_text("second\n")
    await until(lambda: b"".join(got) == b"first\nsecond\n")
    log.write_text("3\n")  # truncated: supervisorctl clear
    await until(lambda: b"".join(got) == b"first\nsecond\n3\n")
    is_over = True
    await reading


async def test_what_was_written_before_a_rotation_and_not_yet_read_is_not_lost(tmp_path: Path) -> None:
    log, is_over = tmp_path / "x.log", False
    log.write_text("first\n")
    following = follow(log, 5, lambda: is_over)
    assert await anext(following) == b"first\n"
    with log.open("a") as file:
        file.write("the rest of it\n")
    log.rename(tmp_path / "x.log.1")
    log.write_text("second\n")
    assert [await anext(following), await anext(following)] == [b"the rest of it\n", b"second\n"]
    is_over = True
    assert [piece async for piece in following] == []


async def test_what_is_not_followed_ends_and_what_is_not_there_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert [piece async for piece in follow(log, 5, None)] == []
    log.write_text("1\n2\n3\n")
    assert [piece async for piece in follow(log, 2, None)] == [b"2\n3\n"]
    assert [piece async for piece in follow(log, 0, None)] == []
