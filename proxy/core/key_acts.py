"""What is done to keys: made, rotated, revoked. Pure: each takes the keys and returns them anew.

Rule: a key that has been revoked stays in the list, and its name is not given again: the audit speaks of it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.core.keys import Key, Secret

Keys = Mapping[str, Key]


class KeyActRefused(Exception):
    """It cannot be done; the message says why, and what can."""


def make(keys: Keys, name: str, secret: Secret, **what: Any) -> dict[str, Key]:
    """A new key, last in the list; `what` are fields of `Key`. Raises: KeyActRefused."""
    if (there := keys.get(name)) is not None:
        is_over = "and was revoked: give another name" if there.revoked_at else "already: rotate it, or give another"
        raise KeyActRefused(f"there is a key '{name}' {is_over}")
    try:
        key = msgspec.convert(what | {"name": name, "made_at": secret.made_at, "secrets": (secret,)}, Key)
    except msgspec.ValidationError as error:
        raise KeyActRefused(f"key '{name}': {error}") from error
    return dict(keys) | {name: key}


def rotate(keys: Keys, name: str, secret: Secret, *, keep_old_s: float) -> dict[str, Key]:
    """Another secret for the key `name`; the old ones count for `keep_old_s` more. Raises: KeyActRefused."""
    key = _there(keys, name)
    ends_at = secret.made_at + keep_old_s
    old = (
        msgspec.structs.replace(one, ends_at=ends_at if one.ends_at is None else min(one.ends_at, ends_at))
        for one in key.secrets
        if key.ends_at(one) > secret.made_at
    )
    return dict(keys) | {name: msgspec.structs.replace(key, secrets=(*old, secret))}


def revoke(keys: Keys, name: str, now: float) -> dict[str, Key]:
    """The key `name` ceases to count. Raises: KeyActRefused."""
    return dict(keys) | {name: msgspec.structs.replace(_there(keys, name), revoked_at=now)}


def differences(before: Keys, now: Keys) -> list[str]:
    """What was done to keys between the two, in words for the audit."""
    told = []
    for name, key in now.items():
        old = before.get(name)
        if old is None:
            told.append(f"made the key {name} ({key.role}; {key.allowed})")
        elif key.revoked_at is not None and old.revoked_at is None:
            told.append(f"revoked the key {name}")
        elif key != old:
            fields = [one for one in key.__struct_fields__ if getattr(key, one) != getattr(old, one)]
            if {one.id for one in key.secrets} - {one.id for one in old.secrets}:
                told.append(f"rotated the key {name}")
                fields.remove("secrets")
            told += [f"changed the key {name}: {', '.join(fields)}"] if fields else []
    return told + [f"removed the key {name}" for name in before if name not in now]


def _there(keys: Keys, name: str) -> Key:
    if (key := keys.get(name)) is None:
        names = ", ".join(one.name for one in keys.values() if one.revoked_at is None)
        raise KeyActRefused(f"there is no key '{name}'. There are: {names or 'none'}")
    if key.revoked_at is not None:
        raise KeyActRefused(f"the key '{name}' has been revoked: make another")
    return key
