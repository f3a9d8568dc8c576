"""Starts real vLLM many times, in its own Python, as `bin/engine` does it: prepared once, and forked for each start.

Reads {"engine": its path, "vllm": the executable, "starts": [{"argv", "log"}]} from standard input, and prints their
exit statuses. To import vLLM takes longer than all that follows of a start that fails.
"""

import importlib.util
import json
import os
import sys
from importlib.machinery import SourceFileLoader

AT_ONCE = 2

told = json.load(sys.stdin)
loader = SourceFileLoader("rota_engine", told["engine"])
spec = importlib.util.spec_from_loader("rota_engine", loader)
assert spec is not None
engine = importlib.util.module_from_spec(spec)
loader.exec_module(engine)
engine.prepare(told["vllm"])

statuses: dict[int, int] = {}
pids: list[int] = []


def end_one() -> None:
    pid, status = os.wait()
    statuses[pid] = os.waitstatus_to_exitcode(status)


for start in told["starts"]:
    if len(pids) - len(statuses) == AT_ONCE:
        end_one()
    pid = os.fork()
    if pid == 0:
        log = os.open(start["log"], os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        engine.become(start["argv"], {}, forks=True)
    pids.append(pid)
while len(statuses) < len(pids):
    end_one()
print(json.dumps([statuses[pid] for pid in pids]))
