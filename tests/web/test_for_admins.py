"""What admins do over the public port: without keys on this machine only, else with an admin's key; all of it noted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.installation import Installation, eventually, fake_model, running

PLANTED = "planted by a patient"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    models = [fake_model("a", sleep_levels=[1, 2]), fake_model("b", pinned=True)]
    with running(Installation(Path(tmp_path_factory.mktemp("a")), models, {"Chat": "a"}, 6)) as installation:
        yield installation


def do(box: Installation, path: str, key: str = "", **more: Any) -> httpx.Response:
    headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **more.pop("headers", {})}
    return httpx.post(f"{box.url}/admin/{path}", headers=headers, timeout=60, trust_env=False, **more)


def acts(box: Installation) -> list[tuple[str, str]]:
    return [(told["who"], told["what"]) for told in box.acts()]


def test_somebody_on_this_machine_may_do_all_and_it_is_noted(box: Installation) -> None:
    assert do(box, "engines/a/start").json() == {"model": "a", "state": "ready"}
    assert do(box, "engines/a/sleep").status_code == 202
    eventually(lambda: box.state("a") == "asleep")
    assert do(box, "engines/a/stop").status_code == 202
    eventually(lambda: box.state("a") == "stopped")
    assert box.engine("a")["stopped_by"] == "by somebody on this machine, over HTTP"
    assert do(box, "reload?dry_run=true").json()["is_done"] is False
    assert ("by somebody on this machine, over HTTP", "/admin/engines/a/stop, answered with 202") in acts(box)
    assert do(box, "engines/a/start").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example", "Content-Type": "text/plain"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "10.0.0.7"},
    ],
)
def test_a_web_page_from_elsewhere_may_not(box: Installation, headers: dict[str, str]) -> None:
    refused = do(box, "engines/a/stop", headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert "make a key for it" in refused.json()["error"]["message"]
    assert box.state("a") == "ready"


@pytest.mark.parametrize("path", ["status", "plan", "metrics", "events/kept", "history", "log", "engines/a/log"])
def test_nor_may_it_look_without_keys(box: Installation, path: str) -> None:
    refused = httpx.get(f"{box.url}/{path}", headers={"Host": "evil.example"}, trust_env=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert "make a key for it" in refused.json()["error"]["message"]
    assert httpx.get(f"{box.url}/health", headers={"Host": "evil.example"}, trust_env=False).status_code == 200


def test_a_forced_stop_does_not_wait_for_requests(box: Installation) -> None:
    box.control("a", token_s=0.2)
    body = {"model": "a", "messages": [{"role": "user", "content": "x"}], "max_tokens": 500, "stream": True}
    with httpx.stream("POST", f"{box.url}/v1/chat/completions", json=body, timeout=60, trust_env=False) as got:
        lines = got.iter_lines()
        next(lines)
        assert do(box, "engines/a/stop").status_code == 202
        assert box.state("a") == "draining"
        assert do(box, "engines/a/stop?force=true").status_code == 202
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    eventually(lambda: box.state("a") == "stopped")
    box.control("a")


def test_a_pin_holds_until_it_is_taken_back_also_by_the_next_proxy(box: Installation) -> None:
    assert [box.engine(name)["is_pinned"] for name in "ab"] == [False, True]
    assert do(box, "engines/a/pin").json() == {"model": "a", "is_pinned": True}
    assert do(box, "engines/b/unpin").json() == {"model": "b", "is_pinned": False}
    box.supervisorctl("restart", "proxy")
    eventually(lambda: box.manage("status").returncode == 0)
    eventually(lambda: [box.engine(name)["is_pinned"] for name in "ab"] == [True, False])
    assert "pinned: it makes room for nobody" in box.manage("status").stdout
    assert box.manage("unpin", "a").stdout == "a: not pinned, it makes room for others\n"
    assert box.manage("pin", "b").stdout == "b: pinned, it makes room for nobody\n"
    assert json.loads((box.root / "var" / "state" / "pinned_by_hand.json").read_text()) == {}


def test_the_audit_is_found_and_verified_and_has_no_text(box: Installation) -> None:
    body = {"agent_type": "Chat", "messages": [{"role": "user", "content": PLANTED}], "max_tokens": 2}
    box.manage("start", "a")
    headers = {"X-Request-Id": "planted"}
    httpx.post(f"{box.url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False)
    [row] = do(box, "audit/find", json={"text": PLANTED}).json()["requests"]
    assert (row["id"], row["agent_type"]) == ("planted", "Chat")
    newest = do(box, "audit/find", json={"agent_type": "Chat", "last": 1})
    assert [row["id"] for row in newest.json()["requests"]] == ["planted"]
    assert PLANTED not in newest.text
    assert do(box, "audit/find", json={"key": "--text=x"}).json() == {"requests": []}
    looked = [what for _, what in acts(box) if what.startswith("/admin/audit/find, answered")]
    assert looked == [
        "/admin/audit/find, answered with 200, looking for a text",
        "/admin/audit/find, answered with 200, looking for agent_type Chat",
        "/admin/audit/find, answered with 200, looking for key (no name)",
    ]
    verified = do(box, "audit/verify").json()
    assert verified["is_whole"] is True
    assert verified["said"][0].startswith("whole: ")
    for path in (box.root / "var").rglob("*"):
        assert not path.is_file() or PLANTED.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[]", "a JSON object that says what is looked for"),
        ('{"kye": "x"}', "unknown field `kye`"),
        ('{"last": 0}', "last is 0: 1 to 1000 are allowed"),
        ('{"last": 9999}', "last is 9999"),
        ("\xff", "a JSON object"),
    ],
)
def test_what_cannot_be_looked_for_is_said(box: Installation, body: str, said: str) -> None:
    refused = do(box, "audit/find", content=body.encode("latin-1"))
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]


def test_with_keys_it_takes_an_admins(box: Installation) -> None:
    """The last one: from here on the box is closed."""
    admin = box.manage("keys", "make", "boss", "--role", "admin").stdout.split()[-1]
    monitor = box.manage("keys", "make", "eyes", "--role", "monitor").stdout.split()[-1]
    assert do(box, "engines/a/pin").status_code == 401
    assert do(box, "engines/a/pin", monitor).status_code == 403
    assert do(box, "audit/find", monitor).status_code == 403
    assert do(box, "engines/a/pin", admin, headers={"Origin": "http://elsewhere"}).status_code == 200
    assert ("by the key boss", "/admin/engines/a/pin, answered with 200") in acts(box)
    for path, status in (("/ui", 200), ("/ui/app.js", 200), ("/status", 401), ("/history", 401)):
        assert httpx.get(f"{box.url}{path}", trust_env=False).status_code == status
    shown = httpx.get(f"{box.url}/status", headers={"x-api-key": monitor}, trust_env=False).json()
    assert shown["caller"] == {"key": "eyes", "role": "monitor"}
