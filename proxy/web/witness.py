"""What the audit is told of one request: before it is forwarded, and before its answer ends.

Rule: texts are hashed here and kept nowhere.
"""

from collections.abc import Awaitable

from proxy.audit import Audit
from proxy.core.audit_records import Begin, End
from proxy.core.stream_texts import StreamTexts
from proxy.core.texts import Answered, Said
from proxy.web.passage import Passage
from proxy.web.passing import both

LONGEST_ANSWER_BYTES = 2**24
"""Of a longer one no hash is taken: it would have to be kept until its end."""


NOTHING: list[str] = []


class Witness:
    """Of one passage."""

    def __init__(self, audit: Audit, passage: Passage) -> None:
        self._audit = audit
        self._passage = passage
        self._stream: StreamTexts | None = None
        self._whole = b""
        self._size = 0
        self._has_ended = False
        self._began = 0

    def __repr__(self) -> str:
        return f"<Witness of {self._passage!r}>"

    def begin(self, body: bytes | None, client: str, engine: str, weights: str) -> None:
        """It is about to be forwarded; `body` is None where it is not read. Raises: AuditFailed.

        `client` is the address that it comes from; what `engine` and `weights` are says `Identity`.
        """
        passage, said = self._passage, Said(body or b"")
        prompt, messages = self._audit.hasher.of_all(said.texts)
        record = Begin.of(passage, client, engine, weights, sampling=said.sampling, prompt=prompt, messages=messages)
        self._began = self._audit.begin(record)
        self._stream, self._whole, self._size = None, b"", 0
        passage.relay.tap = both(self._look, passage.relay.tap)
        passage.relay.on_last = self.end

    def end(self) -> Awaitable[object] | None:
        """Its end is known, and its client has not seen it yet; what has to be awaited before it does. Once."""
        if self._has_ended:
            return None
        self._has_ended = True
        passage, tokens, said = self._passage, self._passage.usage, NOTHING
        if self._stream is not None:
            said = self._stream.texts()
        elif self._whole:
            answered = Answered(self._whole)
            said, tokens = answered.texts, tokens or answered.tokens
        answer, answers = self._audit.hasher.of_all(said)
        self._audit.note(
            End.after(
                self._began,
                passage,
                passage.outcome,
                passage.told_status,
                passage.total_s,
                error=passage.error_code,
                fallback=passage.fallback or "",
                waited_s=passage.waited_s,
                first_byte_s=passage.first_byte_s,
                tokens=tokens,
                answer=answer,
                answers=answers,
            )
        )
        return self._audit.until_on_disk() if self._audit.is_strict else None

    def _look(self, data: bytes) -> bool:
        if self._passage.relay.is_sse:
            if self._stream is None:
                self._stream = StreamTexts()
            self._stream.feed(data)
            return True
        self._size += len(data)
        if self._size > LONGEST_ANSWER_BYTES:
            self._whole = b""
        else:
            self._whole = self._whole + data if self._whole else data
        return True
