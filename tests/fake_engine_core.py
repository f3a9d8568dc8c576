"""The child process of the stand-in for vLLM: holds the memory, and every token passes through it.

Like vLLM's EngineCore it does not watch its parent: when that is killed, it lives on with its memory. It is run with
the name `VLLM::EngineCore` in place of a command line, and answers one line of JSON for each that it gets on file
descriptor 3: {"hold": {UUID: BYTES}} sets what it holds on GPUs, anything else is a token.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    held = bytearray(int(sys.argv[1]) * 2**20)
    held[::4096] = b"x" * len(held[::4096])  # touch every page, or the kernel gives none
    channel = socket.socket(fileno=3)
    with channel.makefile("r") as questions:
        for line in questions:
            told = json.loads(line)
            if "hold" in told:
                hold(told["hold"])
            channel.sendall(b"{}\n")
    while True:  # its parent has gone
        time.sleep(3600)


def hold(amounts: dict[str, float]) -> None:
    if folder := os.environ.get("FAKE_NVML"):
        path = Path(folder) / f"{os.getpid()}.json"
        tmp = path.with_suffix(".tmp")
        tmp.write_text(json.dumps(amounts))
        tmp.replace(path)


if __name__ == "__main__":
    main()
