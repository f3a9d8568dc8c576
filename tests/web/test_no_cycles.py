"""A request leaves no cycle behind: what it has taken is given back at once, and the next one finds it in the cache.

Else the collector has to find it, which costs a request more than most of what is done for it (`opening`).
"""

import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.adapters.audit_files import AuditFiles
from proxy.adapters.audit_folder import read_key
from proxy.audit import Audit
from proxy.core.audit_hashes import Hasher
from tests.web.audit_box import answer
from tests.web.conftest import DataPlane, staged
from tests.web.raw import connected, request

MANY = 20


@pytest.fixture(params=[False, True], ids=["plain", "audit"])
async def plane(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[DataPlane]:
    plane = DataPlane()
    plane.answer = answer
    if request.param:
        key = read_key(tmp_path)
        plane.audit = Audit(AuditFiles(tmp_path, key), Hasher(key), 2**20)
    async with staged(plane):
        yield plane


@pytest.fixture
def kept() -> Iterator[list[object]]:
    """What the collector finds is kept there for the test."""
    try:
        yield gc.garbage
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.garbage.clear()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_nothing_of_a_request_is_left_to_the_collector(
    plane: DataPlane, kept: list[object], stream: bool
) -> None:
    body = json.dumps({"model": "a", "prompt": "x", "stream": stream}).encode()
    async with connected(plane) as (reader, writer):

        async def ask() -> None:
            writer.write(request(body, path="/v1/completions"))
            await reader.readuntil(b"0\r\n\r\n" if stream else b"]}")

        await ask()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        for _ in range(MANY):
            await ask()
        gc.collect()
        left = Counter(type(one).__qualname__ for one in kept if type(one).__module__.startswith("proxy."))
        assert not [name for name, many in left.items() if many > 1], left
