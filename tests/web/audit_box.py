"""Data planes with an audit, to be killed: `python -m tests.web.audit_box FOLDER`.

For each line that it reads, which is a mode, default or strict, it forks one, which prints its pid and its address and
serves until it is killed. So that a life costs no imports.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from proxy.adapters.audit_files import AuditFiles
from proxy.adapters.audit_folder import read_key
from proxy.audit import Audit
from proxy.core.audit_hashes import Hasher
from tests.web.conftest import DataPlane, staged


async def answer(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    if not body.get("stream"):
        return web.json_response({"choices": [{"text": "answer"}]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for _ in range(5):
        await response.write(b'data: {"choices":[{"index":0,"text":"x"}]}\n\n')
        await asyncio.sleep(0.001)
    await response.write(b"data: [DONE]\n\n")
    return response


async def serve(folder: Path, mode: str) -> None:
    key = read_key(folder)
    plane = DataPlane()
    plane.answer = answer
    plane.audit = Audit(AuditFiles(folder, key), Hasher(key), segment_bytes=20_000, is_strict=mode == "strict")
    async with staged(plane):
        print(os.getpid(), plane.url, flush=True)
        await plane.audit.run()


if __name__ == "__main__":
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            uvloop.run(serve(Path(sys.argv[1]), line.strip()))
        os.waitpid(pid, 0)
