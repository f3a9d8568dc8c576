"""Takes the chunks off a body, for who cannot have them: a client of HTTP/1.0, or we ourselves. Raises for bad ones."""

import httptools

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Unchunked:
    """Give it a chunked body piece by piece (RFC 9112, section 7.1)."""

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(_HEAD)

    def __repr__(self) -> str:
        return "<Unchunked>"

    def feed(self, data: bytes) -> bytes:
        """What is new of the body itself. Raises: httptools.HttpParserError."""
        self._parser.feed_data(data)
        out, self._out = b"".join(self._out), []
        return out

    def on_body(self, body: bytes) -> None:
        """httptools."""
        self._out.append(body)
