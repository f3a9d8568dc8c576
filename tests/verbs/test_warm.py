"""Models are started ahead, one after the other, and one that fails keeps no other."""

import argparse
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from proxy.daemon import DaemonError
from proxy.settings import Layout
from proxy.verbs import warm
from tests.installation import CHECKOUT, Installation


def test_models_are_started_one_after_the_other_and_one_that_fails_keeps_no_other(service: Installation) -> None:
    done = service.manage("warm", "broken", "a")
    assert done.returncode == 1
    told = done.stdout.splitlines()
    assert told[0] == "broken (1 of 2): starting"
    assert any("Engine core initialization failed" in line for line in told)
    assert any(line.startswith("a (2 of 2): ready after ") for line in told)
    assert any(line.startswith("    config ") for line in told), told
    done = service.manage("why", "a", "--start")
    assert [line.split()[0] for line in done.stdout.splitlines()][:2] == ["import", "config"]
    assert service.manage("why", "broken", "--start").stdout == "broken: no start of it was seen yet\n"


def test_which_ones_must_be_said(service: Installation) -> None:
    for arguments in ([], ["--all", "a"]):
        done = service.manage("warm", *arguments)
        assert (done.returncode, done.stderr) == (2, "name the models, or say --all\n")


def test_what_a_person_stopped_is_left_as_it_is_and_said(service: Installation) -> None:
    assert service.manage("stop", "a").returncode == 0
    done = service.manage("warm", "--all")
    told = [line for line in done.stdout.splitlines() if line.startswith("a (")]
    assert len(told) == 1
    assert "left as it is, it was stopped with manage_vllm.sh by" in told[0]
    assert service.state("a") == "stopped"
    assert done.returncode == 1, "broken is another matter"
    assert any(line.startswith("b (") and "ready after" in line for line in done.stdout.splitlines())
    assert "(2 of 2): ready after" in service.manage("warm", "b", "a").stdout, "who names it has it started"


class Proxy:
    """Says of each start what the test has put in, in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outcomes: dict[str, list[Callable[[], float]]] = {}
        self.engines = [
            {"model": name, "agent_types": [], "stopped_by": None, "state": "starting", "phase": "weights"}
            for name in "abc"
        ]
        monkeypatch.setattr(warm, "ask", self._ask)
        monkeypatch.setattr(warm, "start_s", self._start_s)
        monkeypatch.setattr(warm.daemon, "running_proxy", lambda _: {})
        monkeypatch.setattr(warm, "SAYS_EVERY_S", 0.01)

    def _ask(self, _here: Layout, _path: str, **query: Any) -> dict[str, Any]:
        return {"last_start": {"config": 1.0}} if query else {"engines": self.engines}

    def _start_s(self, _here: Layout, model: str) -> float:
        outcomes = self.outcomes.get(model)
        return outcomes.pop(0)() if outcomes else 1.0

    @staticmethod
    def warm() -> int:
        return warm.warm(Layout(CHECKOUT), argparse.Namespace(models=[], all=True))


def fails(error: Exception) -> Callable[[], float]:
    def fail() -> float:
        raise error

    return fail


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Proxy:
    return Proxy(monkeypatch)


def test_one_that_fails_and_a_proxy_that_went_away_end_nothing(
    proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.outcomes["a"] = [fails(httpx.RemoteProtocolError("gone"))] * 3
    proxy.outcomes["b"] = [fails(DaemonError("no weights"))]
    proxy.outcomes["c"] = [fails(httpx.ReadError("gone"))]
    assert proxy.warm() == 1
    told = capsys.readouterr().out
    assert "a (1 of 3): gone" in told
    assert "b (2 of 3): no weights" in told
    assert "the proxy did not answer (ReadError('gone')): once more" in told
    assert "c (3 of 3): ready after 1.0 s" in told


def test_it_says_where_a_start_is_while_it_waits(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = threading.Event()
    proxy.outcomes["a"] = [lambda: float(said.wait(20))]
    told_before = proxy._ask

    def ask(here: Layout, path: str, **query: Any) -> dict[str, Any]:
        if not proxy.outcomes["a"]:
            said.set()
        return told_before(here, path, **query)

    monkeypatch.setattr(warm, "ask", ask)
    assert proxy.warm() == 0
    assert " 0 s: starting, weights\n" in capsys.readouterr().out
