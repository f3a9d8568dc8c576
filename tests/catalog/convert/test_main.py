import subprocess
import sys

from tests.installation import CHECKOUT


def test_the_package_is_the_command_and_explains_itself_without_pytorch() -> None:
    argv = [sys.executable, "-m", "catalog.convert", "--help"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "Convert a checkpoint for vLLM." in done.stdout
    assert "usage: catalog.convert " in done.stdout
