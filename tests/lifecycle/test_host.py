"""Whether the host has memory left, and how much of it may be taken."""

from proxy.core.messages import Event, HostSeen
from proxy.lifecycle.host import STEP_BYTES, Host

GIB = 2**30


class Seen:
    """A host of 100 GiB."""

    def __init__(self) -> None:
        self.available_gib = 10.0
        self.host = Host(lambda: int(self.available_gib * GIB), lambda: 100 * GIB)

    def look(self, available_gib: float) -> list[Event]:
        self.available_gib = available_gib
        return self.host.look()


def test_it_is_short_below_a_twentieth_and_not_any_more_above_a_tenth() -> None:
    seen = Seen()
    assert seen.look(10) == [HostSeen(is_short=False, spare_bytes=0)]
    assert seen.look(4.5) == [HostSeen(is_short=True, spare_bytes=-int(5.5 * GIB))]
    assert seen.look(4.5) == []
    assert seen.look(8) == [HostSeen(is_short=True, spare_bytes=-2 * GIB)]
    assert seen.look(11) == [HostSeen(is_short=False, spare_bytes=GIB)]


def test_a_small_change_is_no_news_but_many_are() -> None:
    seen = Seen()
    seen.look(20)
    step_gib = STEP_BYTES / GIB
    assert seen.look(20 + 0.9 * step_gib) == []
    assert len(seen.look(20 + step_gib)) == 1


def test_this_host_is_asked() -> None:
    assert repr(Host()) == "<Host with memory left>"
