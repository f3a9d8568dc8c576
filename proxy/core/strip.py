"""Takes the comment out of a stream in which an engine tells the proxy how many tokens it took. Pure.

vLLM tells a stream's usage only where `stream_options` ask for it, which changes the stream (an event more, and
`system_fingerprint` is in another; vLLM 0.32, `entrypoints/openai/chat_completion/serving.py`). So Rota's middleware in
the engine says it in a comment of its own, `: rota-usage PROMPT ANSWER`, before the end, where the proxy asks for that
(`bin/in_engine/rota_engine_usage.py`). A line of a stream begins with a colon only where it is a comment: in a string
of JSON there is no end of a line.
"""

import re

from proxy.core.chunks import LAST_CHUNK
from proxy.core.usage import Tokens

_MARK = b": rota-usage "
_LONGEST_BYTES = 128
"""Of that comment, with its chunk."""
_IN_CHUNKS = re.compile(rb"[0-9a-fA-F]+\r\n: rota-usage (\d+) (\d+)\n\n\r\n")
_PLAIN = re.compile(rb"(?<![^\n]): rota-usage (\d+) (\d+)\n\n")


class Strip:
    """One stream."""

    def __init__(self, *, in_chunks: bool) -> None:
        """`in_chunks` is whether what is fed is, too."""
        self._end = b"\n\n\r\n" if in_chunks else b"\n\n"
        self._comment = _IN_CHUNKS if in_chunks else _PLAIN
        self._held = b""
        self.usage: Tokens | None = None

    def __repr__(self) -> str:
        return f"<Strip, {len(self._held)} bytes held>"

    def feed(self, data: bytes) -> bytes:
        """Some more of the stream: what of it goes on now."""
        if self._held:
            data, self._held = self._held + data, b""
        if not data.endswith(self._end) and not data.endswith(LAST_CHUNK):
            begun = data.rfind(self._end)
            begun = 0 if begun < 0 else begun + len(self._end)
            if len(data) - begun < _LONGEST_BYTES:  # what is longer is no such comment
                data, self._held = data[:begun], data[begun:]
        if _MARK in data and (found := self._comment.search(data)) is not None:
            self.usage = Tokens(int(found[1]), int(found[2]))
            return data[: found.start()] + data[found.end() :]
        return data
