from proxy.adapters.engine_keys import EngineKeys


def test_each_start_has_a_key_of_its_own() -> None:
    keys = EngineKeys()
    made = {keys.make(model) for model in ("a", "b", "a")}
    assert len(made) == 3
    assert all(len(key) >= 32 for key in made)


def test_an_engine_is_asked_with_the_key_that_it_was_started_with() -> None:
    keys = EngineKeys()
    key = keys.make("a")
    assert keys.headers("a") == {"Authorization": f"Bearer {key}"}
    assert keys.line("a") == f"Authorization: Bearer {key}\r\n"
    keys.use({"a": "kept"})
    assert keys.headers("a") == {"Authorization": "Bearer kept"}
    assert "kept" not in repr(keys)


def test_one_that_has_none_is_asked_without() -> None:
    keys = EngineKeys()
    keys.use({"old": ""})
    for model in ("old", "unknown"):
        assert (keys.headers(model), keys.line(model)) == ({}, "")
