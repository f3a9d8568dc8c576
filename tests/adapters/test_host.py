import os
import subprocess
import sys

import psutil

from proxy.adapters.host import LARGE_BYTES, HostDevices
from proxy.core.devices import DeviceKind


def test_the_hosts_memory_is_one_device() -> None:
    [device] = HostDevices(lambda total: total // 2).devices
    assert (device.id, device.kind) == ("cpu0", DeviceKind.CPU)
    assert device.total_bytes == psutil.virtual_memory().total == 2 * device.capacity_bytes
    assert HostDevices(lambda total: total).env(["cpu0"]) == {}


def test_a_look_shows_engines_whatever_they_hold_and_others_only_if_they_hold_much() -> None:
    take = f"held = bytearray({LARGE_BYTES + 2**26}); held[::4096] = b'x' * len(held[::4096])"
    code = f"{take}; print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as large:
        assert large.stdout is not None
        large.stdout.readline()
        [look] = HostDevices(lambda total: total).look([os.getpid()])
        held = {process.pid: process for process in look.processes}
        assert (held[os.getpid()].bytes or 0) > 2**20
        assert (held[large.pid].bytes or 0) > LARGE_BYTES
        assert "bytearray" in held[large.pid].command
        assert os.getppid() not in held or (held[os.getppid()].bytes or 0) >= LARGE_BYTES
        assert 0 < look.used_bytes < psutil.virtual_memory().total
        large.kill()
