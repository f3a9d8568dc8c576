"""What is found out before supervisord starts."""

import os
import socket
import stat
from pathlib import Path

import pytest

from proxy.core.addresses import LONGEST_SOCKET_BYTES
from proxy.prechecks import DaemonError, check_listen, make_folders
from proxy.settings import Layout


def test_the_folders_are_for_this_user_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    here = Layout(tmp_path_factory.mktemp("p"))
    make_folders(here)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (here.run, here.logs)] == [0o700, 0o700]


def test_a_folder_whose_sockets_would_have_too_long_a_path_is_refused_and_the_longest_one_works(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shallow = tmp_path_factory.mktemp("l")
    base = Path(os.path.relpath("/tmp"))  # noqa: S108  # only its length counts here
    fits = LONGEST_SOCKET_BYTES - len("/var/run/supervisord.sock.4194304")
    with pytest.raises(DaemonError, match=rf"is {fits + 1} bytes long, and may be {fits}: those of the sockets"):
        make_folders(Layout(base / ("x" * (fits - len(str(base))))))
    longest = shallow / ("y" * (fits - len(str(shallow)) - 1))
    make_folders(Layout(longest))
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"{longest}/var/run/supervisord.sock.4194304")


def test_a_port_that_somebody_has_is_refused_and_who_it_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DaemonError, match=rf"cannot listen on 127.0.0.1:{port} .*in use, by .*pid {os.getpid()}"):
            check_listen("127.0.0.1", port)
    check_listen("127.0.0.1", port)
