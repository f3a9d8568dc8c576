"""Where a request comes from, if it came through other proxies: whom to believe what `X-Forwarded-For` says. Pure.

Each proxy appends who has asked it. Rule: an entry counts only where all that came after it are trusted, since whoever
asks can write what stands before.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

LONGEST_SOCKET_BYTES = 107
"""Of the path of a Unix socket (unix(7): sun_path has 108, the last for its end)."""


class Trusted:
    """Addresses, and networks such as 10.0.0.0/8, of proxies that tell the truth about who asks them."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """Raises: ValueError, which names what is no address."""
        self._networks = [_network(network) for network in networks]
        self.is_nobody = not self._networks
        self.has = lru_cache(maxsize=1024)(self._has)

    def __repr__(self) -> str:
        return f"<Trusted {', '.join(map(str, self._networks)) or 'nobody'}>"

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """Who asks, where `peer` is connected and says that it was asked by `forwarded_for`."""
        if not self._networks or not forwarded_for or not self.has(peer):
            return peer
        client = peer
        for entry in reversed(forwarded_for.split(",")):
            if (address := _address(entry)) is None:
                break  # an obfuscated one (RFC 7239, section 6.3), or nonsense: what is before it has no witness
            client = str(address)
            if not self.has(client):
                break
        return client

    def _has(self, address: str) -> bool:
        return (known := _address(address)) is not None and any(known in network for network in self._networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is no address and no network: {error}") from error


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Of an entry, with or without a port."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
