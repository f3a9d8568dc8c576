from pathlib import Path

from tests.fleet_stage import engine_keys


def test_each_start_has_a_key_of_its_own() -> None:
    keys = engine_keys()
    made = {keys.make(model) for model in ("a", "b", "a")}
    assert len(made) == 3
    assert all(len(key) >= 32 for key in made)


def test_an_engine_is_asked_with_the_key_that_it_was_started_with() -> None:
    keys = engine_keys()
    key = keys.make("a")
    assert keys.headers("a") == {"Authorization": f"Bearer {key}"}
    assert keys.line("a") == f"Authorization: Bearer {key}\r\n"
    keys.use({"a": "kept"})
    assert keys.headers("a") == {"Authorization": "Bearer kept"}
    assert "kept" not in repr(keys)


def test_one_that_has_none_is_asked_without() -> None:
    keys = engine_keys()
    keys.use({"old": ""})
    for model in ("old", "unknown"):
        assert (keys.headers(model), keys.line(model)) == ({}, "")


def test_the_next_proxy_asks_with_the_keys_that_were_kept(tmp_path: Path) -> None:
    keys = engine_keys(tmp_path / "keys.json")
    key = keys.make("a")
    assert engine_keys(tmp_path / "keys.json").headers("a") == {}
    keys.keep()
    assert engine_keys(tmp_path / "keys.json").headers("a") == {"Authorization": f"Bearer {key}"}
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
