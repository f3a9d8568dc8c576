"""What users see of the scheduling, in a whole installation with fake engines: limits, times, reasons, plans."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import httpx
import pytest

from tests.installation import Installation, eventually, fake_model, running

AGENTS: dict[str, str | dict[str, object]] = {
    "Chat": "chat",
    "Claims": {"model": "claims", "priority": 5},
    "Billing": "billing",
    "Evidence": {"model": "evidence", "preload": True},
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Of chat, claims and billing one is up at a time; the embedder fits beside it, and is loaded at the start."""
    models = [
        fake_model("chat", 2.5, concurrency=1, max_queue=2),
        fake_model("claims", 2.5),
        fake_model("billing", 2.5, idle_stop_s=1),
        fake_model("evidence", 1.75, embedder=True),
    ]
    folder = Path(tmp_path_factory.mktemp("s"))
    with running(Installation(folder, models, AGENTS, 4.5, max_wait_s=0.5)) as installation:  # type: ignore[arg-type]
        yield installation


def later(box: Installation, headers: dict[str, str] | None = None, **body: object) -> "Future[httpx.Response]":
    """A chat request on a thread of its own."""
    url, body = f"{box.url}/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}], **body}
    asked: Future[httpx.Response] = Future()

    def ask() -> None:
        try:
            asked.set_result(httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False))
        except httpx.HTTPError as error:
            asked.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return asked


def test_what_is_to_be_loaded_ahead_is_ready_before_anybody_asks(box: Installation) -> None:
    eventually(lambda: box.state("evidence") == "ready")
    assert "it is to be there before anybody asks (preload)" in box.manage("why", "evidence").stdout


def test_more_than_may_wait_are_told_so_and_when_to_come_back(box: Installation) -> None:
    box.control("chat", token_s=0.1)
    busy = [later(box, model="chat", max_tokens=30)]
    eventually(lambda: box.engine("chat")["leases"] == 1)
    busy += [later(box, model="chat", max_tokens=1) for _ in range(2)]
    eventually(lambda: box.engine("chat")["waiting"] == 2)
    full = box.chat(model="chat")
    assert full.status_code == 429
    assert full.json()["error"]["code"] == "queue_full"
    assert "2 requests wait for chat already, and 2 may" in full.json()["error"]["message"]
    assert int(full.headers["Retry-After"]) >= 1
    assert [one.result(30).status_code for one in busy] == [200, 200, 200]
    box.control("chat")


def test_a_deadline_that_cannot_be_kept_is_refused_at_once_and_says_when_it_could_be(box: Installation) -> None:
    box.control("claims", start_s=2.0)
    assert box.chat(model="claims").status_code == 200
    assert box.chat(model="chat").status_code == 200
    eventually(lambda: box.state("claims") == "stopped")
    began_at = time.monotonic()
    late = later(box, {"X-Request-Deadline-S": "0.5"}, model="claims").result(10)
    assert time.monotonic() - began_at < 1.5
    assert (late.status_code, late.json()["error"]["code"]) == (503, "deadline_too_short")
    assert "its client waits 0.5 s (X-Request-Deadline-S, or the client's own timeout)" in late.text
    assert int(late.headers["Retry-After"]) >= 2
    assert later(box, {"X-Stainless-Read-Timeout": "60"}, model="claims").result(30).status_code == 200
    wrong = later(box, {"X-Request-Deadline-S": "soon"}, model="claims").result(10)
    assert (wrong.status_code, "X-Request-Deadline-S is 'soon'" in wrong.text) == (400, True)
    box.control("claims")


def test_keep_alive_is_the_proxys_and_not_the_engines(box: Installation) -> None:
    assert box.chat(model="chat", keep_alive="5m").status_code == 200
    assert box.chat(model="chat", keep_alive=0).status_code == 200
    eventually(lambda: box.state("chat") == "stopped")
    assert "its last request said so (keep_alive)" in box.engine("chat")["why"]
    refused = box.chat(model="chat", keep_alive="for ever")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "keep_alive")


def test_an_idle_one_is_stopped_after_its_time(box: Installation) -> None:
    assert box.chat(model="billing").status_code == 200
    eventually(lambda: box.state("billing") == "stopped")
    assert "which is 1 s or more: the catalog says so" in box.engine("billing")["why"]


def test_while_others_drain_the_next_process_is_there_and_waits_at_the_gate(box: Installation) -> None:
    box.control("claims", token_s=0.1)
    assert box.chat(model="claims", max_tokens=1).status_code == 200
    busy = later(box, model="claims", max_tokens=20)
    eventually(lambda: box.engine("claims")["leases"] == 1)
    next_one = later(box, model="chat", max_tokens=1)
    eventually(lambda: box.state("chat") == "parked" and box.engine("chat")["reserved_bytes"] == 0)
    assert "chat" not in box.status()["devices"][0]["reservations"], "it holds no memory"
    assert "RUNNING" in box.supervisorctl("status", "chat")
    assert (busy.result(30).status_code, next_one.result(30).status_code) == (200, 200)
    log = box.manage("why", "chat").stdout
    assert "stopped -> parked: its oldest request has waited" in log
    assert "parked -> starting: its oldest request has waited" in log
    box.control("claims")


def test_a_parked_process_that_nobody_waits_for_any_longer_is_ended(box: Installation) -> None:
    box.control("chat", token_s=0.1)
    assert box.chat(model="chat", max_tokens=1).status_code == 200
    busy = later(box, model="chat", max_tokens=30)
    eventually(lambda: box.engine("chat")["leases"] == 1)
    with pytest.raises(httpx.ReadTimeout):
        box.chat(model="claims", timeout_s=1.0)
    eventually(lambda: box.state("claims") == "stopped")
    assert "nobody waits for it any longer" in box.engine("claims")["why"]
    assert busy.result(30).status_code == 200
    box.control("chat")


def test_why_says_in_words_and_numbers_who_left_for_whom(box: Installation) -> None:
    assert box.chat(model="claims").status_code == 200
    assert box.chat(model="chat").status_code == 200
    why = box.manage("why", "claims")
    assert why.returncode == 0
    assert "frees 2.50 GiB for chat: its oldest request has waited" in why.stdout
    assert "in squared waits, a minute more costs" in why.stdout
    assert "grant: ticket" in why.stdout
    explained = httpx.get(f"{box.url}/status", params={"explain": "claims"}, trust_env=False).json()
    assert (explained["model"], explained["state"]) == ("claims", "stopped")
    assert explained["expected"]["is_learned"]
    unknown = httpx.get(f"{box.url}/status", params={"explain": "clams"}, trust_env=False)
    assert (unknown.status_code, "claims" in unknown.json()["error"]["message"]) == (404, True)


def test_a_plan_is_told_and_not_done(box: Installation) -> None:
    assert box.chat(model="chat").status_code == 200
    before = {engine["model"]: engine["state"] for engine in box.status()["engines"]}
    fits = box.manage("plan", "claims", "evidence")
    assert (fits.returncode, fits.stderr) == (0, "")
    assert "after chat: stop, frees 2.50 GiB" in fits.stdout
    assert "they fit together, and all would be ready in about" in fits.stdout
    not_all = box.manage("plan", "claims", "chat")
    assert not_all.returncode == 1
    assert "it does not fit beside the others" in not_all.stdout
    assert {engine["model"]: engine["state"] for engine in box.status()["engines"]} == before
    nobody = httpx.get(f"{box.url}/plan", trust_env=False)
    assert (nobody.status_code, "name 1 to" in nobody.text) == (400, True)


def test_what_was_learned_outlives_the_proxy(box: Installation) -> None:
    path = box.root / "var" / "state" / "costs.json"
    eventually(lambda: path.exists() and any(key.startswith("chat") for key in json.loads(path.read_text())))
    box.supervisorctl("restart", "proxy")
    eventually(lambda: "expected: start" in box.manage("why", "chat").stdout)
    assert "(a start as seen here)" in box.manage("why", "chat").stdout
