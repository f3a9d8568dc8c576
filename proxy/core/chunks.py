"""Events as they go to a client: in chunks (RFC 9112, section 7.1), or as they are where its HTTP is too old. Pure."""

LAST_CHUNK = b"0\r\n\r\n"

_ENDS = {True: (b"\n\n\r\n", b"\r\n\r\n\r\n"), False: (b"\n\n", b"\r\n\r\n")}
"""What stands at the end of an event, in chunks and without."""


def chunk(data: bytes) -> bytes:
    """`data` as a chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def framed(event: bytes, *, in_chunks: bool, is_last: bool = False) -> bytes:
    """`event`, and the end of the body where it `is_last`."""
    if not in_chunks:
        return event
    return chunk(event) + LAST_CHUNK if is_last else chunk(event)


def ends_event(data: bytes, *, in_chunks: bool) -> bool:
    """Whether an event may follow on `data`, which a client has been sent."""
    return not data or data.endswith(_ENDS[in_chunks])
