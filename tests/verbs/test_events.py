"""What happens, in a terminal: the verb `events`, `status` that looks again, and JSON for programs. Fake engines."""

import argparse
import json
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from proxy.settings import Layout
from proxy.verbs import events
from tests.installation import Installation, fake_model, running


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(Installation(Path(tmp_path_factory.mktemp("v")), [fake_model("a")], {"Chat": "a"}, 4.5)) as made:
        assert made.chat(agent_type="Chat").status_code == 200
        yield made


def begun(box: Installation, *arguments: str) -> "subprocess.Popen[str]":
    argv = [str(box.root / "bin" / "manage_vllm.sh"), *arguments]
    return subprocess.Popen(
        argv, env=box.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=box.root
    )


def line_with(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"it ended without {text!r}")


def test_what_has_happened_is_told_with_why(box: Installation) -> None:
    done = box.manage("events")
    assert (
        "a                    stopped -> starting, holds 2.50 GiB on cpu0: its oldest request has waited" in done.stdout
    )
    told = [json.loads(line) for line in box.manage("events", "--json", "-n", "3").stdout.splitlines()]
    assert len(told) == 3
    assert {"n", "at", "kind", "model"} <= told[0].keys()
    assert box.manage("events", "-n", "0").stdout == ""


def test_it_is_followed_until_interrupted(box: Installation) -> None:
    with begun(box, "events", "-f", "-n", "1") as following:
        line_with(following, "20")
        assert box.manage("stop", "a").returncode == 0
        assert "stop asked (who " in line_with(following, "stop asked")
        line_with(following, "stopping -> stopped")
        following.send_signal(signal.SIGINT)
        assert following.wait(10) == 130


@pytest.mark.parametrize("as_json", [False, True])
def test_that_some_were_missed_is_told_but_not_of_the_proxy_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    def event(life: str, n: int) -> str:
        told = {
            "n": n,
            "at": "2026-11-26T14:30:00.000+00:00",
            "kind": "refusal",
            "model": "a",
            "code": "x",
            "why": life,
        }
        return f"id: {life}-{n}\nevent: refusal\ndata: {json.dumps(told)}\n\n"

    missed = "event: missed\ndata: {}\n\n"
    streams = [event("one", 1) + missed + event("one", 9), missed + event("two", 1) + missed + event("two", 5)]
    asked: list[str] = []

    def proxy(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/status":
            return httpx.Response(200, json={"devices": []})
        if request.url.path == "/events/kept":
            return httpx.Response(200, json={"life": "one", "events": []})
        asked.append(request.headers["Last-Event-ID"])
        if len(asked) > len(streams):
            raise httpx.ConnectError("it has gone")
        return httpx.Response(200, text=": nothing has happened\n\n" + streams[len(asked) - 1])

    client = partial(httpx.Client, transport=httpx.MockTransport(proxy), base_url="http://proxy")
    monkeypatch.setattr(events.daemon, "client", lambda _: client())
    monkeypatch.setattr(events, "BACK_WITHIN_S", 0.3)
    arguments = argparse.Namespace(last=0, follow=True, json=as_json)
    assert events.events(Layout(tmp_path), arguments) == 3
    assert asked[:3] == ["one-0", "one-9", "two-5"]
    said = capsys.readouterr()
    if as_json:
        kinds = [json.loads(line)["kind"] for line in said.out.splitlines()]
        assert kinds == ["refusal", "missed", "refusal", "refusal", "missed", "refusal"]
    assert said.err.count("some events were missed") == (0 if as_json else 2)


def test_the_status_is_looked_at_again_and_plain_where_nobody_looks(box: Installation) -> None:
    with begun(box, "status", "--watch") as watching:
        for _ in range(2):
            line = line_with(watching, "proxy   http://127.0.0.1")
            assert "\x1b" not in line
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130


def test_programs_get_json(box: Installation) -> None:
    assert json.loads(box.manage("status", "--json").stdout)["engines"][0]["model"] == "a"
    assert json.loads(box.manage("why", "a", "--json").stdout)["model"] == "a"
    assert box.manage("status", "--json", "--watch").returncode == 2


def test_what_is_followed_goes_on_after_a_restart_of_the_proxy_and_waits_for_the_next(box: Installation) -> None:
    """The last one: it stops the proxy."""
    with begun(box, "events", "-f", "-n", "1") as following:
        line_with(following, "20")
        assert box.manage("restart-proxy").returncode == 0
        assert box.manage("stop", "a").returncode == 0
        line_with(following, "stop asked")
        box.supervisorctl("stop", "proxy")
        assert following.stderr is not None
        for _ in range(2):
            assert "the proxy has gone; waiting for the next one" in following.stderr.readline()
        following.send_signal(signal.SIGINT)  # how it ends where none comes is above: it takes half a minute
        assert following.wait(10) == 130
    with begun(box, "status", "--watch") as watching:
        assert "the proxy does not answer" in line_with(watching, "proxy")
        box.supervisorctl("start", "proxy")
        line_with(watching, "proxy   http://127.0.0.1")
        watching.send_signal(signal.SIGINT)
        watching.wait(10)
