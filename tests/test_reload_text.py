from typing import Any

from proxy.reload_text import reload_lines


def told(**more: Any) -> dict[str, Any]:
    return {"catalog": "catalog/x", "is_done": True, "models": [], "routes": [], "notes": [], **more}


def test_a_catalog_that_has_not_changed_is_said_to_be_so() -> None:
    assert list(reload_lines(told())) == ["catalog/x has not changed"]


def test_each_change_has_a_line_and_its_warnings_below_it() -> None:
    step = {"model": "a", "what": "changed", "keys": ["port"], "then": "counts at once", "warnings": ["one\ntwo"]}
    routes = [{"agent_type": "Chat", "old": "a", "new": None}]
    assert list(reload_lines(told(models=[step], routes=routes, notes=["a note"]))) == [
        "a                        changed (port): counts at once",
        "    warning: one; two",
        "Chat                     a -> nothing",
        "a note",
        "done",
    ]


def test_what_was_not_done_is_said_not_to_be() -> None:
    *_, last = reload_lines(told(is_done=False, notes=["x"]))
    assert last == "nothing was done: this is what reload would do"
