"""The verbs that make, list, rotate and revoke keys. A service that runs takes them at once; none is needed."""

import argparse
import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from catalog.yaml_file import CatalogError
from proxy import daemon
from proxy.adapters.key_file import KeyFile
from proxy.adapters.scrypt import hashed
from proxy.core import key_acts
from proxy.core.keys import NAME_PATTERN, NAME_RULE, PREFIX, Key, Role, Secret
from proxy.key_text import key_lines
from proxy.settings import Layout
from proxy.verbs.catalogs import catalog_of
from proxy.verbs.verbs import EXIT_DONE, Verbs, answer

_DURATION = re.compile(r"([0-9]+)([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LIMITS = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute, of prompts and answers",
    "tokens_per_day": "tokens a day (UTC)",
    "concurrency": "requests at a time",
}


def add_to(verbs: Verbs) -> None:
    """Add them."""
    what = "Make, list, rotate and revoke the keys by which clients are known."
    acts = verbs.add_group("keys", what)
    make_ = acts.add("make", make, "Make a key and show it, this once.")
    make_.add_argument("key", metavar="NAME", type=_name, help="whose or what for; the audit tells it")
    make_.add_argument("--role", choices=list(Role), default=Role.CLIENT, help="client; monitor looks too; admin acts")
    make_.add_argument("--agent-types", metavar="A,B", type=_list, help="for these only (with --models: for both)")
    make_.add_argument("--models", metavar="A,B", type=_list, help="for these only, by their names")
    for name, of in _LIMITS.items():
        make_.add_argument(f"--{name.replace('_', '-')}", metavar="N", type=_limit, help=f"at most so many {of}")
    make_.add_argument("--expires", metavar="WHEN", type=_when, help="after 90d, 12h; or on a day: 2027-01-31 (UTC)")
    list_ = acts.add("list", list_keys, "List the keys, without their secrets.")
    list_.add_argument("--json", action="store_true", help="for programs")
    rotate_ = acts.add("rotate", rotate, "Give a key another secret and show it, this once.")
    rotate_.add_argument("key", metavar="NAME", type=_name)
    keep = "for so long the old one counts beside it, as in 30m, 12h, 7d (0s: it ends now)"
    rotate_.add_argument("--keep-old", metavar="TIME", type=_duration_s, default=0.0, help=keep)
    acts.add("revoke", revoke, "Have a key count no more, from now on and for good.").add_argument(
        "key", metavar="NAME", type=_name
    )


def make(here: Layout, arguments: argparse.Namespace) -> int:
    """Returns the exit status, like all of them."""
    what = {name: getattr(arguments, name) for name in ("agent_types", "models", *_LIMITS)}
    what = {name: value for name, value in what.items() if value is not None}
    _check_names(here, what)
    if arguments.expires is not None:
        what["expires_at"] = arguments.expires
    secret, shown = _new()
    _change(here, lambda keys: key_acts.make(keys, arguments.key, secret, role=arguments.role, **what))
    return _show(arguments.key, shown)


def rotate(here: Layout, arguments: argparse.Namespace) -> int:
    """The old one counts as long as is said."""
    secret, shown = _new()
    _change(here, lambda keys: key_acts.rotate(keys, arguments.key, secret, keep_old_s=arguments.keep_old))
    return _show(arguments.key, shown)


def revoke(here: Layout, arguments: argparse.Namespace) -> int:
    """At once."""
    _change(here, lambda keys: key_acts.revoke(keys, arguments.key, time.time()))
    print(f"the key '{arguments.key}' is revoked")
    return EXIT_DONE


def list_keys(here: Layout, arguments: argparse.Namespace) -> int:
    """Names, what they may, what has ended."""
    keys = KeyFile(here.keys).read()
    if arguments.json:
        print(json.dumps([_without_hashes(key) for key in keys.values()], indent=2))
        return EXIT_DONE
    for line in key_lines(keys.values(), time.time()):
        print(line)
    return EXIT_DONE


def _new() -> tuple[Secret, str]:
    """A secret as it is kept, and the key as it is shown."""
    id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return Secret(id_, hashed(secret), time.time()), f"{PREFIX}-{id_}-{secret}"


def _change(here: Layout, by: Callable[[dict[str, Key]], Mapping[str, Key]]) -> None:
    """Raises: KeyFileError, KeyActRefused, DaemonError."""
    KeyFile(here.keys).change(by)
    if daemon.running_proxy(here) is not None:
        with daemon.client(here) as proxy:
            answer(proxy.post("/keys/load"))


def _show(name: str, shown: str) -> int:
    print(f"the key '{name}', which is shown this once (clients send it as their API key):", file=sys.stderr)
    print(shown)
    return EXIT_DONE


def _check_names(here: Layout, what: Mapping[str, Any]) -> None:
    """Raises: DaemonError for an agent type or a model that there is not."""
    with suppress(CatalogError):
        catalog = catalog_of(here)
        known = {"agent_types": list(catalog.agents.agent_types), "models": list(catalog.models)}
        for kind, names in known.items():
            if strange := [name for name in what.get(kind) or () if name not in names]:
                raise daemon.DaemonError(
                    f"--{kind.replace('_', '-')}: there is no {', '.join(strange)}. There are: {', '.join(names)}"
                )


def _without_hashes(key: Key) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(key)
    told["secrets"] = [{name: value for name, value in one.items() if name != "hash"} for one in told["secrets"]]
    return told


def _name(text: str) -> str:
    if re.match(NAME_PATTERN, text) is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no name for a key: {NAME_RULE}")
    return text


def _list(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no limit: give a whole number above 0, or leave it out")
    return int(text)


def _duration_s(text: str) -> float:
    if (match := _DURATION.fullmatch(text)) is None:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no time: give seconds, minutes, hours or days, as in 90s, 30m, 12h, 7d"
        )
    return float(match[1]) * _UNIT_S[match[2]]


def _when(text: str) -> float:
    if _DURATION.fullmatch(text):
        return time.time() + _duration_s(text)
    try:
        day = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no time and no day: give 90d, 12h, or 2027-01-31") from error
    at = (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
    if at <= time.time():
        raise argparse.ArgumentTypeError(f"'{text}' is over already")
    return at
