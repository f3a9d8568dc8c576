from proxy.lifecycle.groups import Groups


async def test_an_engine_is_known_by_its_leader_and_where_it_was_launched() -> None:
    groups = Groups()
    groups.note("a", 7, ("x", "y"))
    assert (groups.pid_of("a"), groups.devices_of("a"), groups.model_of()) == (7, ("x", "y"), {7: "a"})
    assert (groups.pid_of("b"), groups.devices_of("b")) == (None, ())
    groups.forget("a")
    assert (groups.pid_of("a"), groups.model_of()) == (None, {})


async def test_what_was_asked_before_an_engine_was_expected_is_no_news_of_it() -> None:
    groups = Groups()
    assert not groups.is_expected("a", 1e18)
    groups.note("a", 7, ())
    assert not groups.is_expected("a", 0.0)
    assert groups.is_expected("a", 1e18)
    groups.expect_nothing("a")
    assert not groups.is_expected("a", 1e18)
