"""What the audit is told of one request: before it is forwarded, and before its answer ends.

Rule: texts are hashed here and kept nowhere.
"""

from collections.abc import Callable

from proxy.audit import Audit
from proxy.core.answered import answered
from proxy.core.audit_records import begun, ended
from proxy.core.chain import Line
from proxy.core.key_errors import AuditFailed
from proxy.core.said import said
from proxy.core.stream_texts import StreamTexts
from proxy.web.going_by import GoingBy
from proxy.web.passage import Passage
from proxy.web.passing import both

LONGEST_ANSWER_BYTES = 2**24
"""Of a longer one no hash is taken: it would have to be kept until its end."""


NOTHING: list[str] = []
NOTHING_SENT = ("", "", NOTHING)

Then = Callable[[AuditFailed | None], None]


Where = Callable[[Passage], tuple[str, str, str]]
"""The address that a request comes from; which engine and which weights answer it."""


class Witness:
    """Of one passage."""

    __slots__ = (
        *("_asked", "_audit", "_began", "_begun_for", "_has_ended", "_passage"),
        *("_sent", "_size", "_stream", "_then", "_where", "_whole"),
    )

    def __init__(self, audit: Audit, passage: Passage, where: Where) -> None:
        self._audit = audit
        self._passage = passage
        self._where = where
        self._asked: bytes | None = None
        self._stream: StreamTexts | None = None
        self._whole: list[bytes] = []
        self._size = 0
        self._sent: GoingBy | None = None
        self._has_ended = False
        self._began = 0
        self._begun_for = ""
        self._then: Then | None = None

    def __repr__(self) -> str:
        return f"<Witness of {self._passage!r}>"

    def look(self, asked: bytes | None) -> None:
        """See what is answered to `asked`, which is None where it is not read."""
        self._asked = asked
        self._stream, self._whole, self._size = None, [], 0
        relay = self._passage.relay
        relay.tap = self._look if relay.tap is None else both(self._look, relay.tap)
        relay.on_last = self._last

    def begin(self, then: Then) -> None:
        """It is about to be forwarded: `then` is told that it may be, or why not. To the same engine again it may."""
        if self._began and self._begun_for == self._passage.model:
            then(None)
            return
        if (why := self._audit.why_unsigned) is not None:
            then(why)
            return
        self._then = then
        self._audit.soon(self._beginning, self._begun, len(self._asked or b""))

    def sent(self, piece: bytes | memoryview) -> None:
        """A piece of the body goes to the engine, which nobody has read as a whole."""
        if self._sent is None:
            self._sent = GoingBy(self._audit.hasher, self._passage.incoming.told.get(b"content-type", b""))
        self._sent.add(piece)

    def drop(self) -> None:
        """Whoever waited for it to begin has left."""
        self._then = None

    def end(self, then: Then | None = None) -> bool:
        """Its end is known; where it is to be noted, `then` is told when it is, and its client sees it then. Once."""
        if self._has_ended:
            return False
        self._has_ended, self._then = True, then
        self._audit.soon(self._ending, self._ended, self._size)
        return True

    def _last(self) -> bool:
        return self.end(self._passage.relay.let_go)

    def _beginning(self, at: str, n: int) -> Line:
        self._began = n
        passage = self._passage
        texts, sampling = said(self._asked or b"")
        prompt, messages = self._audit.hasher.of_all(texts)
        return begun(at, passage, *self._where(passage), sampling, prompt, messages)

    def _ending(self, at: str, _: int) -> Line:
        passage, texts, tokens = self._passage, NOTHING, None
        if self._stream is not None:
            texts = self._stream.texts()
        elif self._whole:
            texts, tokens = answered(b"".join(self._whole))
        if tokens is None:
            tokens = passage.usage
        answer, answers = self._audit.hasher.of_all(texts)
        if self._began and self._sent is None:  # as most
            return ended(at, self._began, passage, tokens, answer, answers)
        sent = NOTHING_SENT if self._sent is None else self._sent.hashes()
        return ended(at, self._began, passage, tokens, answer, answers, *sent, self._where(passage)[0])

    def _begun(self, n: int, refusal: AuditFailed | None) -> None:
        self._began, self._begun_for = n, self._passage.model  # 0 where it could not be written
        if not self._has_ended and (then := self._then) is not None:
            self._then = None
            then(refusal)

    def _ended(self, _: int, refusal: AuditFailed | None) -> None:
        if (then := self._then) is not None:
            self._then = None
            then(refusal)

    def _look(self, data: bytes) -> bool:
        if self._passage.relay.is_sse:
            if self._stream is None:
                self._stream = StreamTexts()
            self._stream.feed(data)
            return True
        self._size += len(data)
        if self._size > LONGEST_ANSWER_BYTES:
            self._whole.clear()
        else:
            self._whole.append(data)
        return True
