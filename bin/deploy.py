#!/usr/bin/env python3
"""Install Rota into a prefix, or take it away again: `make install`, `make uninstall`. Standard library only.

    PREFIX        /opt/rota        the code, its environments, supervisord's programs
    SYSCONFDIR    /etc/rota        settings.yaml and the catalog; never overwritten, never removed
    STATEDIR      /var/lib/rota    keys, audit, state, models, logs, sockets; never removed
    UNITDIR       /etc/systemd/system
    DESTDIR       put in front of all of them, for packagers: then no environment is made and no user

Installing over a running installation is the way to upgrade: files are replaced one by one, so that what runs keeps
what it has open; engines go on, and `manage_vllm.sh restart-proxy` has the new proxy take over.
"""

import argparse
import compileall
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from install import STOP_FIRST, is_running, replaces_vllm

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("bin", "catalog", "proxy", "docs", "setup.cfg", "pyproject.toml", "README.md", "supervisor.d/supervisord.conf")
LIST = "installed-files"
ENVIRONMENTS = (".venv", ".venv-vllm")
MADE = (LIST, "var", "settings.yaml")
"""What is put beside the files, and is no copy of one."""
SETTINGS = """\
# Rota's settings; README.md of the installation has the table. They count after a restart of the proxy.
catalog: {catalog}
"""


class DeployError(Exception):
    """It cannot be done; the message says why and what to do."""


class Places:
    """Where things go; `real` is where that is now, with DESTDIR in front."""

    def __init__(self, given: argparse.Namespace) -> None:
        paths = (given.prefix, given.sysconfdir, given.statedir, given.unitdir)
        self.prefix, self.etc, self.state, self.units = (Path(one).absolute() for one in paths)
        self._destdir = given.destdir

    def real(self, path: Path) -> Path:
        """Where `path` is now."""
        return Path(f"{self._destdir}{path}") if self._destdir else path


def main() -> int:
    """Returns the exit status."""
    os.umask(0o022)  # whatever root's is: the service's user must be able to read what is installed
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["install", "uninstall"])
    parser.add_argument("--prefix", default="/opt/rota")
    parser.add_argument("--sysconfdir", default="/etc/rota")
    parser.add_argument("--statedir", default="/var/lib/rota")
    parser.add_argument("--unitdir", default="/etc/systemd/system")
    parser.add_argument("--destdir", default="")
    parser.add_argument("--user", default="rota", help="who it runs as; made if there is none of that name")
    parser.add_argument("--build", choices=["auto", "cuda", "cpu"], default="auto", help="which vLLM (auto)")
    parser.add_argument(
        "--no-environments", action="store_true", help="make none: they are there, or somebody else does"
    )
    given = parser.parse_args()
    try:
        {"install": install, "uninstall": uninstall}[given.what](Places(given), given)
    except (DeployError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def install(places: Places, given: argparse.Namespace) -> None:
    """Put it there, over what is there. Raises: DeployError."""
    if places.prefix == ROOT:
        raise DeployError(f"{ROOT} is the project folder itself: choose another PREFIX")
    is_here = not given.destdir
    makes_environments = is_here and not given.no_environments
    if makes_environments and is_running(places.state) and replaces_vllm(places.prefix.resolve(), given.build):
        raise DeployError(f"its vLLM must be made anew, and engines run from it: {STOP_FIRST}")
    if is_here:
        _make_user(given.user, places.state)
    _make_state(places, given.user if is_here else None)
    before, now = _listed(places), []
    for source in _sources():
        name = str(source.relative_to(ROOT))
        _put(source.read_bytes(), places.real(places.prefix / name), 0o755 if os.access(source, os.X_OK) else 0o644)
        now.append(name)
    _remove(places.real(places.prefix), set(before) - set(now), kept=now)
    _link(places.real(places.prefix / "var"), places.state)
    _link(places.real(places.prefix / "settings.yaml"), places.etc / "settings.yaml")
    _put("".join(f"{name}\n" for name in now).encode(), places.real(places.prefix / LIST), 0o644)
    _put_configuration(places)
    unit = (ROOT / "docs" / "systemd" / "rota.service").read_text()
    for word, value in (("@PREFIX@", places.prefix), ("@STATE@", places.state), ("@USER@", given.user)):
        unit = unit.replace(word, str(value))
    _put(unit.encode(), places.real(places.units / "rota.service"), 0o644)
    if is_here:  # who runs it may not write there, and would compile it each time
        for part in ("proxy", "catalog"):
            compileall.compile_dir(places.prefix / part, quiet=2)
    if makes_environments:
        for what, more in (("proxy", ["--bare"]), ("vllm", ["--build", given.build])):
            subprocess.run([sys.executable, places.prefix / "bin" / "install.py", what, *more], check=True)  # noqa: S603
    print(f"installed in {places.prefix}; configuration in {places.etc}, state in {places.state}")
    if is_here:
        print(
            f"next: systemctl daemon-reload && systemctl enable --now rota; after an upgrade: "
            f"{places.prefix}/bin/manage_vllm.sh restart-proxy"
        )


def uninstall(places: Places, _: argparse.Namespace) -> None:
    """Remove what was put there, and nothing else. Raises: DeployError."""
    if not (names := _listed(places)):
        raise DeployError(f"nothing is installed in {places.real(places.prefix)}")
    if is_running(places.real(places.state)):
        raise DeployError(f"it runs: {STOP_FIRST}")
    prefix, unit = places.real(places.prefix), places.real(places.units / "rota.service")
    for name in ENVIRONMENTS:
        if (prefix / name).is_symlink():
            (prefix / name).unlink()
        shutil.rmtree(prefix / name, ignore_errors=True)
    for made in (*(prefix / "supervisor.d").glob("engine-*.conf"), *(prefix / name for name in MADE)):
        made.unlink(missing_ok=True)
    for record in prefix.glob("rota*.egg-info"):
        shutil.rmtree(record, ignore_errors=True)
    _remove(prefix, names)
    if prefix.is_dir() and not any(prefix.iterdir()):
        prefix.rmdir()
    user = re.search(r"^User=(.+)$", unit.read_text(), re.MULTILINE) if unit.exists() else None
    unit.unlink(missing_ok=True)
    left = [str(one) for one in (places.prefix, places.etc, places.state) if places.real(one).exists()]
    left += [f"the user {user[1]}"] if user is not None else []
    print(f"removed; left, with your configuration and data: {', '.join(left)}")


def _remove(prefix: Path, names: Iterable[str], kept: Iterable[str] = ()) -> None:
    """Take away the files `names`, what Python has compiled beside them, and their folders where nothing else is left.

    What is beside the files `kept` stays.
    """
    names = list(names)
    for name in names:
        (prefix / name).unlink(missing_ok=True)
    folders = {folder for name in names for folder in Path(name).parents[:-1]}
    folders -= {folder for name in kept for folder in Path(name).parents}
    for folder in sorted(folders, key=lambda one: len(one.parts), reverse=True):
        shutil.rmtree(prefix / folder / "__pycache__", ignore_errors=True)
        if (prefix / folder).is_dir() and not any((prefix / folder).iterdir()):
            (prefix / folder).rmdir()


def _sources() -> Iterator[Path]:
    for part in PARTS:
        at = ROOT / part
        for path in sorted(at.rglob("*")) if at.is_dir() else [at]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _listed(places: Places) -> list[str]:
    path = places.real(places.prefix / LIST)
    return path.read_text().splitlines() if path.exists() else []


def _put(content: bytes, at: Path, mode: int) -> None:
    """Whole or not at all: who has the old one open keeps it. Through no link: the folder may be another user's."""
    at.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if at.exists() and not at.is_symlink() and at.read_bytes() == content and at.stat().st_mode & 0o777 == mode:
        return
    new = at.with_name(f".{at.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    new.replace(at)


def _link(at: Path, to: Path) -> None:
    if at.is_symlink() and at.readlink() == to:
        return
    if at.exists():
        raise DeployError(f"{at} is there and is no link to {to}: move it away")
    at.unlink(missing_ok=True)
    at.symlink_to(to)


def _put_configuration(places: Places) -> None:
    """The first time: the demo's catalog, to begin with."""
    etc = places.real(places.etc)
    if not (etc / "settings.yaml").exists():
        _put(SETTINGS.format(catalog=places.etc / "catalog").encode(), etc / "settings.yaml", 0o644)
    if not (etc / "catalog").exists():
        for path in sorted((ROOT / "catalog" / "demo").glob("*.yaml")):
            _put(path.read_bytes(), etc / "catalog" / path.name, 0o644)


def _make_state(places: Places, user: str | None) -> None:
    """The two folders that the service writes into, for `user`. One that is there is left as it is, with all in it.

    Raises: DeployError where `user` does not own it and is not given it.
    """
    for folder, mode in ((places.real(places.state), 0o700), (places.real(places.prefix / "supervisor.d"), 0o755)):
        is_new = not folder.exists()
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        if user is None:
            continue
        entry = pwd.getpwnam(user)
        if is_new and os.geteuid() == 0:
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        elif folder.stat().st_uid != entry.pw_uid:
            if is_new:
                folder.rmdir()
            what = f"{folder} must be owned by {user}, who the service runs as, and is not"
            raise DeployError(f"{what}: chown it if it is for Rota alone, or choose another STATEDIR or SERVICE_USER")


def _make_user(name: str, home: Path) -> None:
    """Raises: DeployError where it is missing and this is not root."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        if os.geteuid() != 0:
            what = f"there is no user {name}, and only root can make one: SERVICE_USER=you, or sudo"
            raise DeployError(what) from None
        argv = [
            "useradd",
            "--system",
            "--home-dir",
            str(home),
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            name,
        ]
        subprocess.run(argv, check=True)  # noqa: S603  # of a name that root gave


if __name__ == "__main__":
    sys.exit(main())
