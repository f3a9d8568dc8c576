"""Who is on this machine and means it, and who is a web page from elsewhere."""

import pytest
from multidict import CIMultiDict

from proxy.web.nearby import is_nearby

HERE = {"Host": "127.0.0.1:8000"}


def near(address: str = "127.0.0.1", **headers: str) -> bool:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return is_nearby(CIMultiDict({**HERE, **told}), address)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "127.9.9.9"])
def test_who_asks_this_machine_by_its_own_name_is_nearby(host: str) -> None:
    assert near(Host=host)
    assert near("::1", Host=host)
    assert near(Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin")


@pytest.mark.parametrize("address", ["", "10.0.0.7", "x", "::ffff:10.0.0.7"])
def test_who_comes_from_elsewhere_is_not(address: str) -> None:
    assert not near(address)


@pytest.mark.parametrize(
    "host", ["evil.example", "10.0.0.7:8000", "", "[", "localhost.evil.example", "127.0.0.1.evil.example"]
)
def test_a_name_that_somebody_points_here_is_not_this_machine(host: str) -> None:
    assert not near(Host=host)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"X_Forwarded_For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X_Real_IP": "127.0.0.1"},
    ],
)
def test_a_page_from_elsewhere_and_what_a_proxy_passed_on_are_not(headers: dict[str, str]) -> None:
    assert not near(**headers)
