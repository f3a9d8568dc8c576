import json

from proxy.core.audit_records import acted
from proxy.core.chain import FIRST, Chain, Marks, Use, is_signed, shown, sign

MARKS = Marks(b"key")


def test_each_line_carries_its_number_and_the_hash_of_the_one_before() -> None:
    chain = Chain(MARKS)
    first, second = chain.add(acted("now", "ann", "x")), chain.add(acted("then", "bob", "y"))
    assert json.loads(first) == {"n": 1, "prev": FIRST, "kind": "act", "at": "now", "who": "ann", "what": "x"}
    then = {"kind": "act", "at": "then", "who": "bob", "what": "y"}
    assert json.loads(second) == {"n": 2, "prev": MARKS.of(first[:-1]), **then}
    assert (chain.n, chain.last) == (2, MARKS.of(second[:-1]))
    assert first.endswith(b"}\n")


def test_a_head_is_signed_with_one_key_for_one_line() -> None:
    head = sign(b"key", 7, "abc", Use.HEAD)
    assert is_signed(b"key", head, Use.HEAD)
    assert not is_signed(b"other", head, Use.HEAD)
    for other in (sign(b"key", 8, "abc", Use.HEAD), sign(b"key", 7, "abd", Use.HEAD)):
        assert other.mac != head.mac


def test_a_mark_is_of_one_key_and_one_line_and_is_not_what_is_shown_of_it() -> None:
    assert MARKS.of(b"x") == MARKS.of(b"x") != Marks(b"other").of(b"x")
    assert MARKS.of(b"x") != MARKS.of(b"y")
    assert sign(b"key", 7, MARKS.of(b"x"), Use.HEAD).hash == shown(MARKS.of(b"x")) != MARKS.of(b"x")
