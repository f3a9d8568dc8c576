import socket
import stat
from pathlib import Path

import pytest

from proxy.adapters.handed_sockets import Keeper, give, take


def listening() -> socket.socket:
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    one.listen()
    return one


def test_who_connects_between_two_owners_is_served_by_the_second(tmp_path: Path) -> None:
    with Keeper(tmp_path / "k.sock"):
        first = listening()
        address = first.getsockname()
        give(tmp_path / "k.sock", [first])
        first.close()
        with socket.create_connection(address, timeout=5) as client:
            [second] = take(tmp_path / "k.sock")
            with second, second.accept()[0] as served:
                served.sendall(b"hello")
            assert client.recv(5) == b"hello"


def test_where_nobody_keeps_any_nothing_is_taken_and_giving_is_an_error(tmp_path: Path) -> None:
    assert take(tmp_path / "k.sock") == []
    with listening() as one, pytest.raises(FileNotFoundError):
        give(tmp_path / "k.sock", [one])


def test_a_keeper_that_was_given_nothing_gives_nothing(tmp_path: Path) -> None:
    with Keeper(tmp_path / "k.sock"):
        assert take(tmp_path / "k.sock") == []


def test_what_a_killed_keeper_left_is_in_nobodys_way(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(tmp_path / "k.sock"))
    assert take(tmp_path / "k.sock") == []
    with Keeper(tmp_path / "k.sock") as keeper:
        seen = (tmp_path / "k.sock").stat().st_mode
        assert (stat.S_ISSOCK(seen), stat.S_IMODE(seen)) == (True, 0o600)
        assert repr(keeper).endswith("0 sockets>")
    assert not (tmp_path / "k.sock").exists()


def test_when_the_keeper_ends_what_it_kept_is_listened_on_no_more(tmp_path: Path) -> None:
    with Keeper(tmp_path / "k.sock"):
        first = listening()
        address = first.getsockname()
        give(tmp_path / "k.sock", [first])
        first.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
