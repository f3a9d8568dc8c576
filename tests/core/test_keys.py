from math import inf

import msgspec
import pytest

from proxy.core.key_errors import Forbidden, KeyInvalid
from proxy.core.keys import Key, Role, Secret, by_id, parse
from proxy.core.routing import Route

SECRET = Secret("0123456789ab", "scrypt:x", 1.0)
KEY = Key(name="desk", made_at=1.0, secrets=(SECRET,))
CHAT, CLAIMS, NAMED = Route("a", agent_type="Chat"), Route("a", "b", agent_type="Claims"), Route("a")


def key(**more: object) -> Key:
    return msgspec.structs.replace(KEY, **more)


def allowed(one: Key) -> list[Route]:
    found = []
    for route in (CHAT, CLAIMS, NAMED):
        try:
            one.check(route)
        except Forbidden:
            continue
        found.append(route)
    return found


def test_a_key_without_a_list_may_be_used_for_all() -> None:
    assert allowed(KEY) == [CHAT, CLAIMS, NAMED]


def test_a_key_with_a_list_may_be_used_for_what_is_in_it_and_for_nothing_else() -> None:
    assert allowed(key(agent_types=("Chat",))) == [CHAT]
    assert allowed(key(models=("a",))) == [NAMED], "an agent type may fall back to another model"
    assert allowed(key(models=("b",))) == []
    assert allowed(key(agent_types=("Claims",), models=("a",))) == [CLAIMS, NAMED]
    assert allowed(key(agent_types=())) == []


def test_who_is_refused_is_told_what_is_allowed() -> None:
    with pytest.raises(Forbidden, match=r"'desk' may not .* model 'a' by its name.*agent types: Chat; models .*: none"):
        key(agent_types=("Chat",)).check(NAMED)


def test_roles_have_ranks() -> None:
    for one, other, is_enough in (
        (Role.CLIENT, Role.CLIENT, True),
        (Role.CLIENT, Role.MONITOR, False),
        (Role.MONITOR, Role.ADMIN, False),
        (Role.ADMIN, Role.MONITOR, True),
    ):
        if is_enough:
            key(role=one).check_role(other)
            continue
        with pytest.raises(Forbidden, match=f"needs {other}"):
            key(role=one).check_role(other)


def test_a_secret_ends_with_the_first_of_its_ends() -> None:
    assert KEY.ends_at(SECRET) == inf
    assert key(expires_at=9.0, revoked_at=5.0).ends_at(SECRET) == 5.0
    assert key(expires_at=9.0).ends_at(msgspec.structs.replace(SECRET, ends_at=3.0)) == 3.0


def test_a_key_is_an_id_and_a_secret_which_may_hold_dashes() -> None:
    assert parse("sk-rota-0123456789ab-s-e_c") == ("0123456789ab", "s-e_c")


@pytest.mark.parametrize("presented", ["", "sk-rota-", "sk-rota-abc", "sk-other-0123456789ab-s", "rota"])
def test_what_is_no_key_is_said_to_be_none_and_not_repeated(presented: str) -> None:
    with pytest.raises(KeyInvalid, match="they begin with sk-rota-"):
        parse(presented)


def test_all_secrets_are_found_by_their_ids() -> None:
    two = key(secrets=(SECRET, msgspec.structs.replace(SECRET, id="f" * 12)))
    assert by_id({"desk": two}) == {"0123456789ab": (two, SECRET), "f" * 12: (two, two.secrets[1])}


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65, "a\n", "é"])
def test_names_are_fit_for_logs(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(key(name=name)), type=Key)
