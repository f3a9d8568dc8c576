import json

from proxy.core.chain import FIRST, Chain, Use, digest, is_signed, sign


def test_each_line_carries_its_number_and_the_hash_of_the_one_before() -> None:
    chain = Chain()
    first, second = chain.add({"a": 1}), chain.add({"b": "x"})
    assert json.loads(first) == {"n": 1, "prev": FIRST, "a": 1}
    assert json.loads(second) == {"n": 2, "prev": digest(first[:-1]), "b": "x"}
    assert (chain.n, chain.last) == (2, digest(second[:-1]))
    assert first.endswith(b"}\n")


def test_a_head_is_signed_with_one_key_for_one_line() -> None:
    head = sign(b"key", 7, "abc", Use.HEAD)
    assert is_signed(b"key", head, Use.HEAD)
    assert not is_signed(b"other", head, Use.HEAD)
    for other in (sign(b"key", 8, "abc", Use.HEAD), sign(b"key", 7, "abd", Use.HEAD)):
        assert other.mac != head.mac
