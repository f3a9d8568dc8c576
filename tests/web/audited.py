"""A data plane with an audit, a question for it, and what the audit says of that."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from proxy.adapters.audit_files import AuditFiles
from proxy.adapters.audit_folder import read_head, read_key, segments_in
from proxy.audit import Audit
from proxy.core.audit_check import Whole, check
from proxy.core.audit_hashes import Hasher
from proxy.core.audit_rows import lines_of
from tests.web.conftest import DataPlane, staged

QUESTION = {"agent_type": "Chat", "messages": [{"role": "user", "content": "planted question"}], "temperature": 0.5}
USAGE = {"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5}


@asynccontextmanager
async def audited(folder: Path, *, is_strict: bool) -> AsyncIterator[DataPlane]:
    """Its audit is whole in the end, and holds nothing of what was planted."""
    plane = DataPlane()
    key = read_key(folder)
    plane.audit = Audit(AuditFiles(folder, key), Hasher(key), 2**20, is_strict=is_strict)
    async with staged(plane):
        yield plane
    plane.audit.close()
    assert isinstance(check(segments_in(folder), read_head(folder), key), Whole)
    assert not [path for path in folder.iterdir() if b"planted" in path.read_bytes()]  # noqa: ASYNC240  # a test


def lines_in(folder: Path) -> list[dict[str, Any]]:
    """What has been written about requests."""
    return [line for line in lines_of(segments_in(folder)) if line["kind"] in ("begin", "end")]


def hashed(plane: DataPlane, text: str) -> str:
    assert plane.audit is not None
    return plane.audit.hasher.of(text)


async def ask(plane: DataPlane, body: dict[str, Any], path: str = "/v1/chat/completions") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{plane.url}{path}", json=body, headers={"X-Request-Id": "r1"})


async def answer(request: web.Request) -> web.Response:
    return web.json_response({"choices": [{"message": {"content": "planted answer"}}], "usage": USAGE})


def noting(plane: DataPlane) -> list[str]:
    """Has the engine answer; returns the paths that reach it, as they come."""
    reached: list[str] = []

    async def noted(request: web.Request) -> web.Response:
        reached.append(request.path)
        return await answer(request)

    plane.answer = noted
    return reached
