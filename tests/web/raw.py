"""Clients of their own making: bytes over a socket, as no library would send or read them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.web.conftest import DataPlane


@asynccontextmanager
async def connected(
    plane: DataPlane, limit: int = 2**16
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(plane.url.rpartition(":")[2]), limit=limit)
    try:
        yield reader, writer
    finally:
        writer.close()


def request(body: bytes, *headers: str, path: str = "/v1/chat/completions", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: x", "Content-Type: application/json", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


async def whole(reader: asyncio.StreamReader) -> bytes:
    """All until the connection ends."""
    async with asyncio.timeout(10):
        return await reader.read()
