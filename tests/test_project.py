"""The project about itself: what must stay true as it grows."""

import re
import subprocess
from pathlib import Path

import pytest

from catalog import render
from catalog.load import load
from catalog.yaml_file import fields_of
from proxy.adapters import programs
from proxy.cli import command_line
from proxy.core.endpoints import ENDPOINTS, ENGINE_ONLY
from proxy.settings import ENV_PREFIX, Settings, layout
from proxy.web import metrics
from tests.installation import CHECKOUT

CATALOGS = sorted(path.parent for path in (CHECKOUT / "catalog").glob("*/agents.yaml"))
README = CHECKOUT / "README.md"


def tracked(*patterns: str) -> list[Path]:
    """The files of the checkout that git tracks or would track."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    names = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [CHECKOUT / name for name in names if (CHECKOUT / name).is_file()]


@pytest.mark.parametrize(
    "module", tracked("catalog/*.py", "proxy/*.py"), ids=lambda path: str(path.relative_to(CHECKOUT))
)
def test_every_module_has_its_tests(module: Path) -> None:
    if module.name == "__init__.py":
        return
    below = module.relative_to(CHECKOUT)
    folder = below.parent if below.parts[0] == "catalog" else Path(*below.parts[1:-1])
    name = "main" if module.stem == "__main__" else module.stem
    assert (CHECKOUT / "tests" / folder / f"test_{name}.py").exists()


@pytest.mark.parametrize(
    "module", tracked("catalog/*.py", "proxy/*.py", "bin/*", "tests/*.py"), ids=lambda path: path.name
)
def test_no_module_outgrows_its_decision(module: Path) -> None:
    limit = 300 if module.suffix == ".py" and "tests" not in module.parts else 400
    assert module.suffix == ".txt" or len(module.read_text().splitlines()) <= limit


def test_every_setting_is_in_the_readme_with_its_variable_and_default() -> None:
    text = README.read_text()
    for name in fields_of(Settings):
        assert f"| `{name}` | `{ENV_PREFIX}{name.upper()}` |" in text, name


def test_every_endpoint_is_in_the_readme() -> None:
    text = README.read_text()
    for endpoint in (*ENDPOINTS, *ENGINE_ONLY):
        assert re.search(rf"`({endpoint.method} )?{re.escape(endpoint.path)}`", text), endpoint


def metric_names() -> set[str]:
    """Of all that /metrics and /metrics/engines have of the proxy's own."""
    source = "".join((CHECKOUT / "proxy" / name).read_text() for name in ("traffic.py", "web/metrics.py"))
    families = re.findall(r"(Counter|Gauge|Histogram)MetricFamily\(\s*\"(rota_\w+)\"", source)
    return {f"{name}_total" if kind == "Counter" else name for kind, name in families} | {metrics.UP}


def test_every_metric_is_in_the_readme_and_every_one_there_exists() -> None:
    assert metric_names() == set(re.findall(r"`(rota_\w+)`", README.read_text()))


def test_every_make_target_and_verb_is_in_the_readme() -> None:
    text = README.read_text()
    for target in re.findall(r"^([a-z-]+):.*##", (CHECKOUT / "Makefile").read_text(), re.MULTILINE):
        assert f"make {target}" in text, target
    for verb in command_line(layout()).names:
        assert f"`{verb}" in text, verb


@pytest.mark.parametrize("folder", CATALOGS, ids=lambda path: path.name)
def test_every_catalog_loads_and_renders_programs_that_supervisord_accepts(folder: Path, tmp_path: Path) -> None:
    catalog = load(folder, CHECKOUT)
    (tmp_path / "supervisor.d").mkdir()
    for sub in ("run", "log"):
        (tmp_path / "var" / sub).mkdir(parents=True)
    here = layout().__class__(tmp_path)
    here.supervisord_conf.write_text((CHECKOUT / "supervisor.d" / "supervisord.conf").read_text())
    programs.write(here.programs, catalog.models.values())
    code = (
        "from supervisor.options import ServerOptions; options = ServerOptions();"
        f"options.realize(['-c', {str(here.supervisord_conf)!r}]);"
        "print(*sorted(group.name for group in options.process_group_configs))"
    )
    argv = [CHECKOUT / ".venv/bin/python", "-W", "ignore", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.split() == sorted([*catalog.models, "proxy"]), done.stderr


def test_the_json_schemas_are_what_the_types_give_now() -> None:
    for name, text in render.schemas().items():
        assert (CHECKOUT / "catalog" / name).read_text() == text, "make render"


def test_no_path_of_one_machine_and_no_secret_is_in_the_project() -> None:
    forbidden = re.compile(r"(?<![\w.])/(home|root|Users|work)/\w|BEGIN [A-Z ]*PRIVATE KEY|hf_[A-Za-z0-9]{20}")
    for path in tracked():
        assert not forbidden.search(path.read_text(errors="replace")), path
