from proxy.core.messages import HostSeen
from proxy.lifecycle.host import Host


def test_it_is_short_below_a_twentieth_and_not_any_more_above_a_tenth() -> None:
    available = 100
    host = Host(lambda: available, lambda: 1000)
    assert host.look() == []
    available = 49
    assert host.look() == [HostSeen(is_short=True)]
    assert host.look() == []
    available = 80
    assert host.look() == []
    available = 101
    assert host.look() == [HostSeen(is_short=False)]


def test_this_host_is_asked() -> None:
    assert repr(Host()) == "<Host with memory left>"
