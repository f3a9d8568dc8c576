"""The audit over HTTP: what is looked for becomes arguments, and what cannot be read is said."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.core.errors import InvalidRequest
from proxy.core.key_errors import AuditUnreadable
from proxy.settings import Layout
from proxy.web.audits import Audits, Wanted
from tests.installation import CHECKOUT


def test_what_is_looked_for_is_given_as_arguments_and_a_text_is_not() -> None:
    wanted = Wanted(key="desk", agent_type="Chat", since="2026-11-26T14:30", text="said by a patient", last=7)
    given = ["--key=desk", "--agent-type=Chat", "--since=2026-11-26T14:30", "--last=7", "--text-file=-"]
    assert wanted.arguments() == given
    assert Wanted().arguments() == ["--last=200"]


@pytest.mark.parametrize("name", ["since", "until"])
async def test_a_moment_that_is_none_is_refused_before_anything_is_read(here: Layout, name: str) -> None:
    request = make_mocked_request("POST", "/")
    request._read_bytes = msgspec.json.encode({name: "yesterday"})
    with pytest.raises(InvalidRequest, match=f"{name}: 'yesterday' is no moment: a date or a date and a time") as told:
        await Audits(here).find(request)
    assert told.value.param == name


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    """An installation without an audit."""
    for name in ("proxy", "catalog", "bin"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    return Layout(tmp_path)


async def test_where_there_is_no_audit_that_is_said(here: Layout) -> None:
    with pytest.raises(AuditUnreadable, match="there is no audit in"):
        await Audits(here).verify(make_mocked_request("POST", "/"))


async def test_who_leaves_takes_the_search_with_him(here: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = here.root / "slow"
    slow.write_text(
        f"#!{sys.executable}\nimport os, time\nopen('{here.root}/pid', 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    slow.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(slow))
    asked = asyncio.create_task(Audits(here).verify(make_mocked_request("POST", "/")))
    pid_file = here.root / "pid"
    for _ in range(500):
        if pid_file.exists() and pid_file.read_text():
            break
        await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


async def test_what_it_prints_is_told_line_by_line(here: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    said = here.root / "said"
    said.write_text(f"#!{sys.executable}\nprint('NOT WHOLE: 1.jsonl, line 7: gone')\nraise SystemExit(1)\n")
    said.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(said))
    answer = await Audits(here).verify(make_mocked_request("POST", "/"))
    assert isinstance(answer, web.Response)
    assert answer.body is not None
    assert msgspec.json.decode(bytes(answer.body)) == {"is_whole": False, "said": ["NOT WHOLE: 1.jsonl, line 7: gone"]}  # type: ignore[arg-type]
