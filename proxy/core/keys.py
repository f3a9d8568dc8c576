"""Keys: who may ask, for which agent types and models, how much, and until when. Pure.

A key is shown once, as `sk-rota-ID-SECRET`; kept is a salted hash of the secret alone. The id is no secret: it says
which hash to compare with, so that one is computed and not one a key. Times are in seconds since 1970 (UTC).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from math import inf
from typing import Annotated

import msgspec
from msgspec import Meta

from proxy.core.key_errors import Forbidden, KeyInvalid
from proxy.core.routing import Route

PREFIX = "sk-rota"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z"
NAME_RULE = "letters, digits, '-', '_' and '.', at most 64, the first a letter or digit"

Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Limit = Annotated[int, Meta(ge=1, le=10**12)]


class Role(StrEnum):
    """What a key is for beside asking models."""

    CLIENT = "client"
    MONITOR = "monitor"
    """Also what looks: /status, /plan, /metrics."""
    ADMIN = "admin"
    """Also what changes something."""


RANKS = {Role.CLIENT: 0, Role.MONITOR: 1, Role.ADMIN: 2}


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One secret of a key; after a rotation the old one may count for a while beside the new."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{12}$")]
    hash: str
    """See proxy.adapters.scrypt."""
    made_at: float
    ends_at: float | None = None


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`agent_types` and `models`: None in both is all; else only what is listed in either."""

    name: Name
    role: Role = Role.CLIENT
    agent_types: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    tokens_per_day: Limit | None = None
    concurrency: Limit | None = None
    made_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    secrets: tuple[Secret, ...]

    @property
    def may_use_all(self) -> bool:
        """Whether every model may be asked."""
        return self.agent_types is None and self.models is None

    @property
    def has_limits(self) -> bool:
        """Whether anything has to be counted for it."""
        return any((self.requests_per_minute, self.tokens_per_minute, self.tokens_per_day, self.concurrency))

    @property
    def counts_tokens(self) -> bool:
        """Whether its tokens have to be known."""
        return self.tokens_per_minute is not None or self.tokens_per_day is not None

    def ends_at(self, secret: Secret) -> float:
        """When `secret` ceases to count: the first of its own end, the key's, and its revocation."""
        return min(inf if end is None else end for end in (secret.ends_at, self.expires_at, self.revoked_at))

    def check(self, route: Route) -> None:
        """Raises: Forbidden if it may not be used for `route`."""
        if self.may_use_all:
            return
        if route.agent_type:
            if route.agent_type in (self.agent_types or ()):
                return
            what = f"agent type '{route.agent_type}'"
        else:
            if route.model in (self.models or ()):
                return
            what = f"model '{route.model}' by its name"
        raise Forbidden(f"the key '{self.name}' may not be used for {what}. It may for {self.allowed}", param="model")

    def may_see(self, model: str, agent_types: Iterable[str]) -> bool:
        """Whether it may be used for `model`, by its name or by one of its agent types."""
        if self.may_use_all or model in (self.models or ()):
            return True
        return not set(agent_types).isdisjoint(self.agent_types or ())

    def check_role(self, needed: Role) -> None:
        """Raises: Forbidden if its role is less than `needed`."""
        if RANKS[self.role] < RANKS[needed]:
            what = f"the key '{self.name}' has the role {self.role}, and this needs {needed}"
            raise Forbidden(f"{what}: make one with `manage_vllm.sh keys make NAME --role {needed}`")

    @property
    def allowed(self) -> str:
        """What it may be used for, in words."""
        if self.may_use_all:
            return "all agent types and models"
        types, models = ", ".join(self.agent_types or ()), ", ".join(self.models or ())
        return f"agent types: {types or 'none'}; models by name: {models or 'none'}"


def parse(presented: str) -> tuple[str, str]:
    """The id and the secret of a key as clients send it. Raises: KeyInvalid."""
    prefix, *parts = presented.removeprefix(PREFIX + "-").split("-", 1)
    if not presented.startswith(PREFIX + "-") or not parts:
        raise KeyInvalid.of(f"this is no key of this proxy: they begin with {PREFIX}-")
    return prefix, parts[0]


def by_id(keys: Mapping[str, Key]) -> dict[str, tuple[Key, Secret]]:
    """All secrets, by their ids."""
    return {secret.id: (key, secret) for key in keys.values() for secret in key.secrets}
