from pathlib import Path

import msgspec
import pytest

from catalog.spec import GIB, AgentRoute, Agents, Catalog, Gib, ModelSpec
from catalog.yaml_file import CatalogError, fields_of
from proxy import settings as module
from proxy.settings import NOT_SETTINGS, Settings, check_port, layout, load_settings


def error_of(root: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(CatalogError) as caught:
        load_settings(root, environ or {})
    return str(caught.value)


def test_without_a_file_and_variables_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {"PATH": "/bin", "HOME": "/"}) == Settings()


def test_the_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("listen_port: 9000\nmax_wait_s: 5\ndevice_memory_gib: 8\n")
    read = load_settings(tmp_path, {"ROTA_LISTEN_PORT": "9001"})
    assert (read.listen_port, read.max_wait_s, read.device_memory_bytes) == (9001, 5.0, 8 * GIB)
    assert read.catalog == Settings().catalog


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("ROTA_CATALOG", "catalog/mine", "catalog", "catalog/mine"),
        ("ROTA_LISTEN_HOST", "0", "listen_host", "0"),
        ("ROTA_DEVICE_MEMORY_GIB", "4.5", "device_memory_bytes", round(4.5 * GIB)),
        ("ROTA_DEVICE_RESERVE_GIB", "1", "device_reserve_bytes", GIB),
        ("ROTA_MAX_BODY_MIB", "1", "max_body_mib", 1),
        ("ROTA_POLL_INTERVAL_S", "0.25", "poll_interval_s", 0.25),
    ],
)
def test_a_variable_is_read_by_the_type_of_its_setting(
    tmp_path: Path, variable: str, text: str, field: str, value: object
) -> None:
    assert getattr(load_settings(tmp_path, {variable: text}), field) == value


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("listen_port: 9000\n")
    assert load_settings(tmp_path, {"ROTA_LISTEN_PORT": "", "ROTA_LISTEN_HOST": ""}) == Settings(listen_port=9000)


def test_a_list_has_commas_in_a_variable(tmp_path: Path) -> None:
    loaded = load_settings(tmp_path, {"ROTA_TRUSTED_PROXIES": "10.0.0.7, 10.1.0.0/16"})
    assert loaded.trusted_proxies == ("10.0.0.7", "10.1.0.0/16")


def test_every_setting_can_be_given_by_variable(tmp_path: Path) -> None:
    for field in msgspec.structs.fields(Settings):
        key = field.encode_name
        text = str(not field.default).lower() if field.type is bool else {"max_queue": "3"}.get(key, "2")
        assert load_settings(tmp_path, {f"ROTA_{key.upper()}": text}) != Settings(), key


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("ROTA_LISTEN_PORT", "abc", "Expected `int`, got `str`; it is 'abc'"),
        ("ROTA_LISTEN_PORT", "70000", "Expected `int` <= 65535; it is '70000'"),
        ("ROTA_LISTEN_PORT", "0", "Expected `int` >= 1"),
        ("ROTA_MAX_WAIT_S", "nan", "Expected `float` > 0.0; it is 'nan'"),
        ("ROTA_MAX_WAIT_S", "10s", "Expected `float`"),
        ("ROTA_POLL_INTERVAL_S", "60", "Expected `float` <= 5"),
        ("ROTA_START_AFTER_STOP_BY_HAND", "maybe", "Expected `bool`, got `str`; it is 'maybe'"),
        ("ROTA_DEVICE_MEMORY_GIB", "much", "it is 'much'"),
        ("ROTA_DEVICE_MEMORY_GIB", "-1", "Expected a number of GiB above 0"),
        ("ROTA_DEVICE_MEMORY_GIB", "inf", "Expected a number of GiB above 0"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_wrong_and_what_it_is(
    tmp_path: Path, variable: str, text: str, says: str
) -> None:
    message = error_of(tmp_path, {variable: text})
    assert message.startswith(f"{variable}: ")
    assert says in message


def test_an_unknown_variable_is_named_with_the_nearest_and_all_that_are_allowed(tmp_path: Path) -> None:
    message = error_of(tmp_path, {"ROTA_LISTEN_PRT": "9000"})
    assert message.startswith("ROTA_LISTEN_PRT: is no setting. Did you mean 'ROTA_LISTEN_PORT'? Allowed: ROTA_CATALOG,")
    assert all(f"ROTA_{key.upper()}" in message for key in fields_of(Settings))


def test_what_rota_sets_itself_is_no_setting_and_no_error(tmp_path: Path) -> None:
    assert load_settings(tmp_path, dict.fromkeys(NOT_SETTINGS, "x")) == Settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("listen_port: 1\nlisten_prt: 9000\n", ":2: listen_prt: is not a known key. Did you mean 'listen_port'?"),
        ("catalog: x\nlisten_port: abc\n", ":2: listen_port: Expected `int`, got `str`"),
        ("device_memory_bytes: 5\n", ":1: device_memory_bytes: is not a known key. Did you mean 'device_memory_gib'?"),
        ("catalog: a\ncatalog: b\n", ":2: catalog: stands twice"),
        ("catalog: [\n", ":2: is not YAML"),
        ("- catalog\n", ":1: must be a mapping of keys to values; keys: catalog, listen_host"),
    ],
)
def test_a_wrong_file_is_named_with_line_and_key(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    message = error_of(tmp_path, {"ROTA_LISTEN_PORT": "9000"})
    assert message.startswith(f"{tmp_path / 'settings.yaml'}{says}")


def test_a_model_on_the_proxys_own_port_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nport: 8000\n")
    model = ModelSpec(name="a", weights="w", port=8000, memory_bytes=Gib(1), max_model_len=1)
    catalog = Catalog(folder=tmp_path, models={"a": model}, agents=Agents(agent_types={"A": AgentRoute(model="a")}))
    check_port(Settings(listen_port=8001), catalog)
    with pytest.raises(CatalogError) as caught:
        check_port(Settings(), catalog)
    what = "8000 is the proxy's own port (setting listen_port): give a another"
    assert str(caught.value) == f"{path}:2: port: {what}"


def test_the_project_folder_is_the_checkout_unless_rota_root_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROTA_ROOT", raising=False)
    assert layout().root == Path(module.__file__).resolve().parents[1]
    monkeypatch.setenv("ROTA_ROOT", str(tmp_path / "x" / ".."))
    assert layout().root == tmp_path.resolve()


def test_everything_that_is_written_lies_below_the_project_folder(tmp_path: Path) -> None:
    here = layout().__class__(tmp_path)
    places = [here.supervisord_conf, here.supervisord_socket, here.gate_socket, here.lock, here.log_of("a")]
    assert all(place.is_relative_to(tmp_path) for place in places)
    assert len(set(places)) == len(places)
    assert here.log_of("a").name == "a.log"
