import msgspec
import pytest

from proxy.core.key_acts import KeyActRefused, differences, make, revoke, rotate
from proxy.core.keys import Role, Secret

FIRST, SECOND, THIRD = (Secret(str(number) * 12, "x", float(number)) for number in (1, 2, 3))


def test_a_key_is_made_with_what_it_may() -> None:
    keys = make({}, "desk", FIRST, role=Role.MONITOR, models=("a",), tokens_per_day=5)
    key = keys["desk"]
    assert (key.role, key.models, key.tokens_per_day, key.made_at) == (Role.MONITOR, ("a",), 5, 1.0)
    assert list(make(keys, "other", SECOND)) == ["desk", "other"]


@pytest.mark.parametrize("what", [{"concurrency": 0}, {"tokens_per_day": -1}, {"role": "king"}, {"unknown": 1}])
def test_what_a_key_cannot_be_is_told(what: dict[str, object]) -> None:
    with pytest.raises(KeyActRefused, match="key 'desk': "):
        make({}, "desk", FIRST, **what)


def test_no_name_is_given_twice_not_even_after_the_end_of_its_key() -> None:
    keys = make({}, "desk", FIRST)
    with pytest.raises(KeyActRefused, match="there is a key 'desk' already: rotate it"):
        make(keys, "desk", SECOND)
    with pytest.raises(KeyActRefused, match="was revoked: give another name"):
        make(revoke(keys, "desk", 5.0), "desk", SECOND)


def test_after_a_rotation_the_old_secret_counts_for_as_long_as_is_said() -> None:
    keys = rotate(make({}, "desk", FIRST), "desk", SECOND, keep_old_s=10.0)
    assert [(one.id, one.ends_at) for one in keys["desk"].secrets] == [(FIRST.id, 12.0), (SECOND.id, None)]
    keys = rotate(keys, "desk", THIRD, keep_old_s=100.0)
    assert [one.ends_at for one in keys["desk"].secrets] == [12.0, 103.0, None], "none lives longer for it"
    keys = rotate(make({}, "desk", FIRST), "desk", SECOND, keep_old_s=0.0)
    assert keys["desk"].secrets[0].ends_at == 2.0
    assert [one.id for one in rotate(keys, "desk", THIRD, keep_old_s=0.0)["desk"].secrets] == [SECOND.id, THIRD.id]


def test_a_key_that_is_not_there_or_is_over_cannot_be_changed() -> None:
    keys = make(revoke(make({}, "gone", FIRST), "gone", 2.0), "desk", SECOND)
    with pytest.raises(KeyActRefused, match="there is no key 'x'"):
        revoke(keys, "x", 3.0)
    with pytest.raises(KeyActRefused, match="'gone' has been revoked"):
        rotate(keys, "gone", THIRD, keep_old_s=0.0)


def test_what_was_done_between_two_states_is_told() -> None:
    before = make(make({}, "desk", FIRST), "gone", THIRD)
    now = rotate(make(before, "new", SECOND, role="admin"), "desk", Secret("d" * 12, "x", 9.0), keep_old_s=1.0)
    assert differences({}, before) == [
        f"made the key {name} (client; all agent types and models)" for name in ("desk", "gone")
    ]
    assert differences(before, now) == ["rotated the key desk", "made the key new (admin; all agent types and models)"]
    revoked = revoke(now, "gone", 9.0)
    assert differences(now, revoked) == ["revoked the key gone"]
    less = {"desk": msgspec.structs.replace(revoked["desk"], concurrency=1), "new": revoked["new"]}
    assert differences(revoked, less) == ["changed the key desk: concurrency", "removed the key gone"]
    assert differences(less, less) == []
