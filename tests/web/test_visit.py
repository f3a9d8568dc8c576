import asyncio
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.adapters.audit_files import AuditFiles
from proxy.adapters.audit_folder import AuditError, read_key
from proxy.audit import Audit
from proxy.core.audit_hashes import Hasher
from proxy.core.errors import InvalidRequest, WaitedTooLong
from proxy.core.headers import Incoming
from proxy.core.key_errors import AuditFailed
from proxy.traffic import Outcome, Traffic
from proxy.web.middleware import REQUEST_ID
from proxy.web.visit import Visit
from tests.web.audited import lines_in


def visit_of(audit: Audit | None = None) -> Visit:
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: default
    request = make_mocked_request("GET", "/v1/realtime", transport=transport)
    request[REQUEST_ID] = "r1"
    return Visit(request, Incoming([]), audit=audit)


async def test_a_refusal_before_the_socket_is_a_status_and_after_it_an_outcome() -> None:
    for status, error, expected in (
        (0, InvalidRequest("x"), (400, Outcome.REFUSED)),
        (101, WaitedTooLong("x"), (101, Outcome.ERROR_AFTER_WAIT)),
    ):
        visit, traffic = visit_of(), Traffic()
        visit.status = status
        visit.refused(error)
        visit.end(traffic)
        [key] = traffic._series
        assert key[3:] == expected


@pytest.mark.parametrize("steps", range(4))
async def test_a_socket_that_is_left_while_it_is_noted_is_one_request(tmp_path: Path, steps: int) -> None:
    key = read_key(tmp_path)
    audit = Audit(AuditFiles(tmp_path, key), Hasher(key), 2**20)
    visit = visit_of(audit)
    noting = asyncio.create_task(visit.note("engine", "weights"))
    for _ in range(steps):
        await asyncio.sleep(0)
    noting.cancel()
    await asyncio.gather(noting, return_exceptions=True)
    visit.end(Traffic())
    audit.close()
    *begun, end = lines_in(tmp_path)
    assert end["kind"] == "end"
    assert [line["kind"] for line in begun] == (["begin"] if steps else [])
    assert end.get("of", 0) == (begun[0]["n"] if begun else 0)


async def test_a_socket_that_could_not_be_noted_has_no_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = read_key(tmp_path)
    audit = Audit(AuditFiles(tmp_path, key), Hasher(key), 2**20)
    visit, write = visit_of(audit), AuditFiles.write

    def full(*_: object) -> int:
        raise AuditError("the disk is full")

    monkeypatch.setattr(AuditFiles, "write", full)
    with pytest.raises(AuditFailed):
        await visit.note("engine", "weights")
    monkeypatch.setattr(AuditFiles, "write", write)
    visit.end(Traffic())
    audit.close()
    [end] = lines_in(tmp_path)
    assert (end["kind"], end.get("of", 0)) == ("end", 0)
