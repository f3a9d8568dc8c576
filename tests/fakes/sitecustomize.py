"""Lets tests step the wall clock of a process that has this folder on its PYTHONPATH: by the seconds in
$FAKE_CLOCK/clock.

A machine's own clock cannot be stepped by a test. The product reads the wall clock by time.time() only.
"""

import os
import time

_real_time = time.time
_offset_file = os.path.join(os.environ.get("FAKE_CLOCK", "/nonexistent"), "clock")  # noqa: PTH118  # imports nothing


def _stepped_time() -> float:
    try:
        with open(_offset_file) as file:  # noqa: PTH123
            return _real_time() + float(file.read())
    except (OSError, ValueError):
        return _real_time()


if "FAKE_CLOCK" in os.environ:
    time.time = _stepped_time
