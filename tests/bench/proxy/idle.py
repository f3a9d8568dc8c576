"""`make bench-idle`: what a stream costs in memory on which nothing comes, with 5,000 of them open at once."""

import asyncio
import resource
import sys
import tempfile
from pathlib import Path

import psutil
import uvloop

from tests.bench.proxy.contenders import MODEL, rota
from tests.bench.proxy.load import MESSAGES

STREAMS = 5000
BODY = f'{{"model":"{MODEL}",{MESSAGES},"silent":true}}'
REQUEST = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()
AT_ONCE = 100


async def opened(port: int, count: int) -> list[asyncio.StreamWriter]:
    """So many streams, each of which has had its first event."""
    some = asyncio.Semaphore(AT_ONCE)

    async def one() -> asyncio.StreamWriter:
        async with some:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            async with asyncio.timeout(60):
                await reader.readuntil(b"data: ")
            return writer

    return await asyncio.gather(*(one() for _ in range(count)))


async def measure(port: int, pid: int, count: int) -> float:
    """Memory for each stream in kB (RSS of the proxy, before and with them)."""
    warm = await opened(port, AT_ONCE)
    proxy = psutil.Process(pid)
    before = proxy.memory_info().rss
    streams = await opened(port, count)
    used_kb = (proxy.memory_info().rss - before) / 1000 / count
    for writer in (*warm, *streams):
        writer.transport.abort()
    return used_kb


def main() -> None:
    """Measure and print."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * STREAMS + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"the limit of open files is {hard}; {wanted} are needed (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with (
        tempfile.TemporaryDirectory() as folder,
        rota(Path(folder) / "rota", is_guarded=False) as (ours, _),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        used_kb = runner.run(measure(ours.port, ours.pids[0], STREAMS))
    print(f"{STREAMS} streams open at once")
    print(f"idle_stream_kb: {used_kb:.1f}")


if __name__ == "__main__":
    main()
