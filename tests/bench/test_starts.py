"""What the benches of starts do where a start fails, and what they wait for before they time one."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from catalog.render import GUARD
from tests.bench import coldstart, starts
from tests.bench.starts import chat
from tests.installation import Installation, free_port


def test_a_bare_start_that_fails_says_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimpleNamespace(port=free_port(), memory_bytes=1, kv_cache_bytes=1)
    script = "import sys; print('x' * 5000); print('no such flag', file=sys.stderr); sys.exit(3)"
    argv = [sys.executable, "-c", script, "--middleware", GUARD]
    monkeypatch.setattr(starts, "load", lambda *_: SimpleNamespace(models={"a": spec}))
    monkeypatch.setattr(starts, "launch", lambda *_: SimpleNamespace(argv=argv, env={}))
    installation = cast(Installation, SimpleNamespace(catalog=Path(), root=Path()))
    with pytest.raises(TimeoutError, match="its exit status: 3; its last words:\n") as raised:
        starts.bare(installation, chat("a"))
    assert str(raised.value).endswith("no such flag\n")
    assert len(str(raised.value)) < 4200


def test_nothing_is_timed_while_an_installation_parks(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def timed(what: str) -> Any:
        def time_it(*_: object) -> float:
            done.append(what)
            return 1.0

        return time_it

    monkeypatch.setattr(coldstart, "wait_idle", timed("wait"))
    monkeypatch.setattr(coldstart, "bare", timed("start"))
    monkeypatch.setattr(coldstart, "through", timed("start"))
    boxes: Any = dict.fromkeys(coldstart.METHODS)
    assert len(list(coldstart.in_turn(boxes))) == 8
    assert done == ["wait", "start"] * 8 + ["wait"]
