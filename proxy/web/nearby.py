"""Whether a request that needs no key comes from somebody on this machine, who meant it.

A web page that is open in a browser on this machine can have it send requests here, by the address or by a name that it
lets point here (DNS rebinding); such a request says where it comes from, or asks for another host than this machine.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from multidict import CIMultiDict, CIMultiDictProxy

_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")


def is_nearby(headers: CIMultiDict[str] | CIMultiDictProxy[str], address: str) -> bool:
    """`address` is who it comes from, as far as that is known."""
    if not _is_loopback(address) or any(name in headers for name in _FORWARDED):
        return False
    if headers.get("Sec-Fetch-Site") not in (None, "same-origin", "none"):
        return False
    host, origin = headers.get("Host", ""), headers.get("Origin")
    return _is_this_machine(host) and (origin is None or urlsplit(origin).netloc == host)


def _is_this_machine(host: str) -> bool:
    """Whether `host`, as in the header, is a name or address of the loopback."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
