"""Takes the event out of a stream that tells the usage, where its client has not asked for it. Pure.

vLLM sends it as the last one before `[DONE]`, in a chunk of its own, with no choices in it (vLLM 0.32, e.g.
`entrypoints/openai/chat_completion/serving.py`). Rule: what is passed on ends where an event does.
"""

from proxy.core.chunks import LAST_CHUNK

_MARK = b'"choices":[]'
"""In a string of JSON its quotes would be escaped."""
_USAGE = b'"usage":{'


class Strip:
    """One stream."""

    def __init__(self, *, in_chunks: bool) -> None:
        """`in_chunks` is whether what is fed is, too."""
        self._end = b"\n\n\r\n" if in_chunks else b"\n\n"
        self._held = b""

    def __repr__(self) -> str:
        return f"<Strip, {len(self._held)} bytes held>"

    def feed(self, data: bytes) -> bytes:
        """Some more of the stream: what of it goes on now."""
        if self._held:
            data, self._held = self._held + data, b""
        if not data.endswith(self._end) and not data.endswith(LAST_CHUNK):
            whole = data.rfind(self._end)
            whole = 0 if whole < 0 else whole + len(self._end)
            data, self._held = data[:whole], data[whole:]
        if _MARK not in data:
            return data
        events = data.split(self._end)
        kept = [event for event in events if not (_MARK in event and _USAGE in event and event.count(b"\n\n") == 0)]
        return self._end.join(kept)
