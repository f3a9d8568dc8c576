"""Who a key belongs to."""

import asyncio
import time
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy import keyring
from proxy.adapters.key_file import KeyFile, KeyFileError
from proxy.adapters.scrypt import hashed
from proxy.adapters.state_files import StateFile
from proxy.core.allowance import Allowance, Used
from proxy.core.key_errors import KeyInvalid, RateLimited
from proxy.core.keys import Key, Secret
from proxy.keyring import MOST_TRIED, Keyring, LastKey
from tests.upstream.conftest import until

ID, OTHER_ID = "0" * 12, "1" * 12
HASH = hashed("secret")
PRESENTED = f"Bearer sk-rota-{ID}-secret".encode()


def known(keys: Keyring, presented: bytes) -> Allowance | None:
    """Who it is, on a connection on which it has been presented before too."""
    caller = keys.known(presented, LAST.setdefault(keys, LastKey()))
    assert keys.known(presented, None) is caller
    return caller


LAST: weakref.WeakKeyDictionary[Keyring, LastKey] = weakref.WeakKeyDictionary()


def key(name: str = "desk", **more: Any) -> Key:
    return Key(**({"name": name, "made_at": 1.0, "secrets": (Secret(ID, HASH, 1.0),)} | more))


def ring(tmp_path: Path, *keys: Key) -> Keyring:
    write(tmp_path, *keys)
    return of(tmp_path)


def of(tmp_path: Path) -> Keyring:
    used = StateFile(tmp_path / "used.json", dict[str, Used], {})
    return Keyring(KeyFile(tmp_path / "keys.json"), used)


def write(tmp_path: Path, *keys: Key) -> None:
    KeyFile(tmp_path / "keys.json").change(lambda _: {one.name: one for one in keys})


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The secrets that slow hashes were computed of."""
    computed: list[str] = []
    is_hash_of = keyring._is_hash_of

    def noted(kept: Secret, secret: str) -> bool:
        computed.append(secret)
        return is_hash_of(kept, secret)

    monkeypatch.setattr(keyring, "_is_hash_of", noted)
    return computed


async def test_a_key_is_verified_once_and_then_known(tmp_path: Path, hashes: list[str]) -> None:
    keys = ring(tmp_path, key())
    assert not keys.is_open
    assert known(keys, PRESENTED) is None
    caller = await keys.verify(PRESENTED)
    assert caller.key.name == "desk"
    assert known(keys, PRESENTED) is caller
    assert await keys.verify(PRESENTED.removeprefix(b"Bearer ")) is caller
    assert await keys.verify(PRESENTED.replace(b"Bearer ", b"bearer  ")) is caller
    assert await keys.verify(PRESENTED) is caller
    assert hashes == ["secret"] * 3


@pytest.mark.parametrize("given", ["secret", "another"])
async def test_many_at_once_with_one_key_cost_one_slow_hash(tmp_path: Path, hashes: list[str], given: str) -> None:
    keys, presented = ring(tmp_path, key()), f"Bearer sk-rota-{ID}-{given}".encode()
    got = await asyncio.gather(*(keys.verify(presented) for _ in range(20)), return_exceptions=True)
    assert hashes == [given]
    assert all(isinstance(one, KeyInvalid) is (given == "another") for one in got)


async def test_who_guesses_a_key_keeps_no_other_waiting(tmp_path: Path, hashes: list[str]) -> None:
    keys = ring(tmp_path, key(), key("ward", secrets=(Secret(OTHER_ID, HASH, 1.0),)))
    guesses = [f"sk-rota-{ID}-guess{n}".encode() for n in range(20)] * 2
    got = asyncio.gather(*(keys.verify(guess) for guess in guesses), return_exceptions=True)
    await asyncio.sleep(0)
    other = await keys.verify(f"sk-rota-{OTHER_ID}-secret".encode())
    assert other.key.name == "ward"
    assert len(hashes) <= MOST_TRIED + 1
    told = Counter(type(one) for one in await got)
    assert told == {KeyInvalid: 2 * MOST_TRIED, RateLimited: 40 - 2 * MOST_TRIED}
    assert (await keys.verify(PRESENTED)).key.name == "desk", "who guesses is over"
    assert keys._tried == {}


@pytest.mark.parametrize(
    ("presented", "said"),
    [
        (b"", "no key was sent"),
        (b"Bearer x", "they begin with sk-rota-"),
        (b"Basic c2stcm90YQ==", "they begin with sk-rota-"),
        (f"Bearer sk-rota-{OTHER_ID}-secret".encode(), "not known here"),
        (f"Bearer sk-rota-{ID}-Secret".encode(), "not known here"),
        (f"Bearer sk-rota-{ID}-\xff".encode("latin-1"), "not known here"),
    ],
)
async def test_what_is_no_key_of_ours_is_refused_each_time_and_not_repeated(
    tmp_path: Path, presented: bytes, said: str
) -> None:
    keys = ring(tmp_path, key())
    for _ in range(2):
        with pytest.raises(KeyInvalid, match=said) as caught:
            await keys.verify(presented)
        assert "ecret" not in str(caught.value)
    assert known(keys, presented) is None


async def test_a_wrong_key_costs_one_slow_hash_and_an_unknown_id_none(tmp_path: Path, hashes: list[str]) -> None:
    keys = ring(tmp_path, key())
    for presented in (f"sk-rota-{ID}-wrong", f"sk-rota-{OTHER_ID}-secret") * 3:
        with pytest.raises(KeyInvalid):
            await keys.verify(presented.encode())
    assert hashes == ["wrong"]


async def test_only_the_newest_of_the_wrong_keys_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "MOST_REFUSED", 2)
    keys = ring(tmp_path, key())
    for number in range(5):
        with pytest.raises(KeyInvalid):
            await keys.verify(f"sk-rota-{ID}-{number}".encode())
    assert len(keys._refused) == 2


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({"expires_at": 1.0}, "'desk' has expired"),
        ({"revoked_at": 1.0, "expires_at": 1.0}, "'desk' has been revoked"),
        ({"secrets": (Secret(ID, HASH, 1.0, 2.0),)}, "'desk' has been rotated"),
    ],
)
async def test_a_key_that_is_over_is_told_why_and_only_to_who_has_it(
    tmp_path: Path, ended: dict[str, Any], said: str, hashes: list[str]
) -> None:
    keys = ring(tmp_path, key(**ended))
    for _ in range(3):
        with pytest.raises(KeyInvalid, match=said):
            await keys.verify(PRESENTED)
    assert known(keys, PRESENTED) is None
    assert hashes == ["secret"], "who has an old key cannot make us compute"
    with pytest.raises(KeyInvalid, match="not known here"):
        await keys.verify(f"sk-rota-{ID}-wrong".encode())


async def test_a_key_that_was_known_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ring(tmp_path, key(expires_at=time.time() + 100))
    await keys.verify(PRESENTED)
    assert known(keys, PRESENTED)
    later = time.time() + 101
    monkeypatch.setattr(time, "time", lambda: later)
    assert known(keys, PRESENTED) is None


async def test_keys_that_change_count_at_once_and_what_was_used_stays_used(tmp_path: Path) -> None:
    keys = ring(tmp_path, key(concurrency=5))
    caller = await keys.verify(PRESENTED)
    caller.begin(0.0, 0.0)
    write(tmp_path, key(concurrency=1), key("new", secrets=(Secret(OTHER_ID, HASH, 1.0),)))
    keys.load()
    again = known(keys, PRESENTED)
    assert again is caller
    assert (again.key.concurrency, again.in_flight) == (1, 1)
    assert (await keys.verify(f"sk-rota-{OTHER_ID}-secret".encode())).key.name == "new"
    write(tmp_path, key(revoked_at=1.0))
    keys.load()
    assert known(keys, PRESENTED) is None
    assert [one.key.name for one in keys.callers] == ["desk"]


async def test_a_file_that_has_changed_counts_though_nobody_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keyring, "KEEP_EVERY_S", 0.01)
    keys, told = ring(tmp_path, key()), []
    await keys.verify(PRESENTED)
    keys.on_change = told.extend
    looking = asyncio.create_task(keys.keep())
    (tmp_path / "keys.json").write_text("{")
    await until(lambda: "go on counting" in caplog.text)
    assert known(keys, PRESENTED) is not None
    write(tmp_path / "new", key(revoked_at=1.0))
    (tmp_path / "new" / "keys.json").replace(tmp_path / "keys.json")
    await until(lambda: known(keys, PRESENTED) is None)
    assert told == ["revoked the key desk"]
    assert caplog.text.count("go on counting") == 1
    looking.cancel()


@pytest.mark.parametrize("left", [None, (), (key(secrets=()),)])
async def test_keys_that_are_gone_open_nothing_to_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, left: tuple[Key, ...] | None
) -> None:
    monkeypatch.setattr(keyring, "KEEP_EVERY_S", 0.01)
    keys = ring(tmp_path, key())
    caller = await keys.verify(PRESENTED)
    if left is None:
        (tmp_path / "keys.json").unlink()
    else:
        write(tmp_path, *left)
    with pytest.raises(KeyFileError, match="there were keys: put it back"):
        keys.load()
    assert (keys.is_open, known(keys, PRESENTED)) == (False, caller)
    write(tmp_path, key("ward"))
    keys.load()
    (tmp_path / "keys.json").unlink()
    looking = asyncio.create_task(keys.keep())
    await until(lambda: "go on counting" in caplog.text)
    assert not keys.is_open
    looking.cancel()
    assert of(tmp_path).is_open, "who starts without keys is open, if it may be"


async def test_a_secret_that_was_exchanged_is_not_known_any_more(tmp_path: Path) -> None:
    keys = ring(tmp_path, key())
    await keys.verify(PRESENTED)
    write(tmp_path, key(secrets=(Secret(ID, hashed("another"), 1.0),)))
    keys.load()
    assert known(keys, PRESENTED) is None
    with pytest.raises(KeyInvalid):
        await keys.verify(PRESENTED)


async def test_a_damaged_file_changes_nothing(tmp_path: Path) -> None:
    keys = ring(tmp_path, key())
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(KeyFileError):
        keys.load()
    assert await keys.verify(PRESENTED)


async def test_a_damaged_hash_lets_nobody_in(tmp_path: Path) -> None:
    keys = ring(tmp_path, msgspec.structs.replace(key(), secrets=(Secret(ID, "x", 1.0),)))
    with pytest.raises(KeyInvalid):
        await keys.verify(PRESENTED)


async def test_where_there_are_no_keys_it_is_open(tmp_path: Path) -> None:
    assert of(tmp_path).is_open


async def test_what_was_used_today_is_kept_for_the_next_proxy(tmp_path: Path) -> None:
    keys = ring(tmp_path, key(tokens_per_day=10), key("idle", secrets=(Secret(OTHER_ID, HASH, 1.0),)))
    [caller, _] = keys.callers
    caller.begin(0.0, time.time())
    caller.end(7, 0.0, time.time())
    keys.keep_now()
    [again, idle] = of(tmp_path).callers
    assert (again.used, again.in_flight, idle.used.tokens) == (caller.used, 0, 0)
    assert again.used.tokens == 7
