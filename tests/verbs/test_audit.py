"""The audit, as an administrator reads it: a whole installation, of fake engines."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.installation import Installation, eventually, fake_model, running

PLANTED = "planted by a patient"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    root = Path(tmp_path_factory.mktemp("a"))
    template = root / "chat.jinja"
    template.write_text("{{ messages }}")
    model = fake_model("a", chat_template=str(template))
    with running(Installation(root, [model], {"Chat": "a"}, 4.5)) as installation:
        ask(installation, "first", PLANTED)
        installation.manage("stop", "a")
        yield installation


def ask(box: Installation, request_id: str, text: str) -> None:
    body = {"agent_type": "Chat", "messages": [{"role": "user", "content": text}], "max_tokens": 2}
    url, headers = f"{box.url}/v1/chat/completions", {"X-Request-Id": request_id}
    assert httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False).status_code == 200


def test_a_whole_audit_is_said_to_be_and_its_head_can_be_noted(box: Installation) -> None:
    eventually(lambda: "since it was signed" not in box.manage("audit", "verify").stdout)
    done = box.manage("audit", "verify")
    assert done.returncode == 0, done.stdout
    found = re.search(r"^whole: \d+ lines in 1 segments\nhead (\d+:[0-9a-f]{64})$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    assert box.manage("audit", "verify", "--head", found[1]).returncode == 0
    wrong = box.manage("audit", "verify", "--head", f"1:{'0' * 64}")
    assert (wrong.returncode, "another than the one that was noted" in wrong.stdout) == (1, True)


def test_a_text_is_found_by_its_hash_and_stands_nowhere(box: Installation) -> None:
    [row] = map(json.loads, box.manage("audit", "find", "--text", PLANTED).stdout.splitlines())
    assert (row["id"], row["agent_type"], row["outcome"], row["status"]) == ("first", "Chat", "answered", 200)
    assert row["found_in"] == ["prompt"]
    assert 0 < row["n"] < row["end_n"]
    assert box.manage("audit", "find", "--hash", row["prompt"]).stdout.count("\n") == 1
    assert box.manage("audit", "find", "--text", PLANTED + "!").returncode == 1
    assert box.manage("audit", "find", "--agent-type", "Chat", "--since", "2026-01-01").returncode == 0
    assert box.manage("audit", "find", "--key", "nobody").returncode == 1
    assert box.manage("audit", "find", "--last", "1").stdout.count("\n") == 1
    for path in (box.root / "var").rglob("*"):
        if path.is_file():
            assert PLANTED.encode() not in path.read_bytes(), path


def test_a_time_is_what_its_words_say_or_refused_with_what_is_allowed(box: Installation) -> None:
    [row] = map(json.loads, box.manage("audit", "find", "--text", PLANTED).stdout.splitlines())
    minute = row["at"][:16].replace("T", " ")
    assert box.manage("audit", "find", "--text", PLANTED, "--since", minute).returncode == 0
    assert box.manage("audit", "find", "--text", PLANTED, "--until", minute).returncode == 1
    for verb in ("find", "export"):
        refused = box.manage("audit", verb, "--since", "yesterday")
        assert (refused.returncode, "a date and a time in UTC is allowed" in refused.stderr) == (2, True)
    refused = box.manage("audit", "find", "--last", "0")
    assert (refused.returncode, "'0' is no number from 1 on" in refused.stderr) == (2, True)


def test_all_of_it_is_a_table(box: Installation) -> None:
    rows = list(csv.DictReader(io.StringIO(box.manage("audit", "export").stdout, newline="")))
    assert [row["id"] for row in rows] == ["first"]


def told_acts(box: Installation, *arguments: str) -> list[dict[str, str]]:
    done = box.manage("audit", "acts", *arguments)
    acts = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == (0 if acts else 1), done.stderr
    return acts


def test_what_people_do_is_in_it_too(box: Installation) -> None:
    acts = told_acts(box)
    assert acts[0]["who"] == "the proxy"
    asked, stop = [act for act in acts if act["what"].startswith("/engines/a/stop")]
    assert (asked["what"], stop["what"]) == ("/engines/a/stop, asked", "/engines/a/stop, answered with 202")
    assert stop["who"].startswith("with manage_vllm.sh by ")
    assert told_acts(box, "--who", "manage_vllm.sh", "--last", "1") == [stop]
    assert told_acts(box, "--until", stop["at"][:16]) + told_acts(box, "--since", stop["at"][:16]) == acts
    assert told_acts(box, "--who", "nobody") == told_acts(box, "--model", "b") == []
    box.supervisorctl("start", "a")
    eventually(lambda: box.state("a") == "ready")
    box.supervisorctl("stop", "a")
    eventually(lambda: len(told_acts(box, "--who", "with supervisorctl", "--model", "a")) == 2, every_s=0.2)


def test_a_text_in_a_file_is_found_however_its_lines_end(box: Installation, tmp_path: Path) -> None:
    box.manage("start", "a")
    ask(box, "windows", "first line\r\nsecond line")
    file = tmp_path / "said.txt"
    for said in (
        b"first line\r\nsecond line",
        b"first line\nsecond line\n",
        b"\xef\xbb\xbffirst line\r\nsecond line\r\n",
    ):
        file.write_bytes(said)
        [row] = map(json.loads, box.manage("audit", "find", "--text-file", str(file)).stdout.splitlines())
        assert row["id"] == "windows"
    file.write_bytes(b"\xff")
    assert box.manage("audit", "find", "--text-file", str(file)).returncode == 1


def test_another_chat_template_is_another_engine_from_its_next_start_on(box: Installation) -> None:
    box.manage("start", "a")
    ask(box, "second", "as before")
    (box.root / "chat.jinja").write_text("{{ messages[-1] }}")
    ask(box, "third", "it has not been read yet")
    box.manage("stop", "a")
    box.manage("start", "a")
    ask(box, "fourth", "now it has")
    found = (box.manage("audit", "find", "--id", name) for name in ("first", "second", "third", "fourth"))
    first, second, third, fourth = (json.loads(done.stdout)["engine"] for done in found)
    assert first == second == third != fourth


def test_a_change_is_found_and_said_where(box: Installation) -> None:
    path = next((box.root / "var" / "audit").glob("*.jsonl"))
    genuine = path.read_bytes()
    path.write_bytes(genuine.replace(b'"agent_type":"Chat"', b'"agent_type":"Chap"', 1))
    done = box.manage("audit", "verify")
    path.write_bytes(genuine)
    assert done.returncode == 1
    assert re.match(r"NOT WHOLE: audit-000001\.jsonl, line \d+: the line before it is another", done.stdout)


def test_without_an_audit_it_says_so(idle: Installation) -> None:
    for verb in ("verify", "find", "acts", "export"):
        done = idle.manage("audit", verb)
        assert (done.returncode, "there is no audit in" in done.stderr) == (1, True), verb
