from pathlib import Path

import pytest

from catalog.download.stop import Stop, Stopped, Watch
from tests.catalog.download.hub_stage import quiet


def test_who_waits_is_told_to_stop() -> None:
    stop = Stop()
    stop.wait(0)
    stop.now()
    with pytest.raises(Stopped):
        stop.wait(600)


def test_who_tells_of_progress_is_stopped_too(tmp_path: Path) -> None:
    progress, _, _ = quiet()
    stop = Stop()
    watch = Watch("m", progress, stop)
    progress.begin("m", 10, 0)
    watch.moved(5)
    watch.doing("reading")
    stop.now()
    with pytest.raises(Stopped):
        watch.moved(1)
    with pytest.raises(Stopped):
        watch.doing("converting")
