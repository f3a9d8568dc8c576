"""What the audit is told of one request: before it is forwarded, and before its answer ends.

Rule: texts are hashed here and kept nowhere.
"""

import time
from collections.abc import Awaitable

from proxy.audit import Audit
from proxy.core.audit_records import Begin, End, named
from proxy.core.texts import Said, of_answer, of_stream
from proxy.web.passage import Passage
from proxy.web.passing import both

LONGEST_ANSWER_BYTES = 2**24
"""Of a longer one no hash is taken: it would have to be kept until its end."""


class Witness:
    """Of one passage."""

    def __init__(self, audit: Audit, passage: Passage) -> None:
        self._audit = audit
        self._passage = passage
        self._pieces: list[bytes] = []
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
        self._began = self._audit.begin(
            Begin(
                **named(passage, time.time()),
                client=client,
                engine=engine,
                weights=weights,
                sampling=said.sampling,
                prompt=prompt,
                messages=messages,
            )
        )
        self._pieces, self._size = [], 0
        passage.relay.tap = both(self._look, passage.relay.tap)
        passage.relay.on_last = self.end

    def end(self) -> Awaitable[object] | None:
        """Its end is known, and its client has not seen it yet; what has to be awaited before it does. Once."""
        if self._has_ended:
            return None
        self._has_ended = True
        passage = self._passage
        tokens = passage.usage
        answer, answers = self._audit.hasher.of_all(self._said())
        self._audit.note(
            End(
                **named(passage, time.time()),
                of=self._began,
                outcome=passage.outcome,
                status=passage.told_status,
                error=passage.error_code,
                fallback=passage.fallback or "",
                waited_s=_rounded(passage.waited_s),
                first_byte_s=_rounded(passage.first_byte_s),
                total_s=round(passage.total_s, 6),
                prompt_tokens=None if tokens is None else tokens.prompt,
                answer_tokens=None if tokens is None else tokens.answer,
                answer=answer,
                answers=answers,
            )
        )
        return self._audit.until_on_disk() if self._audit.is_strict else None

    def _look(self, data: bytes) -> bool:
        self._size += len(data)
        if self._size > LONGEST_ANSWER_BYTES:
            self._pieces.clear()
        else:
            self._pieces.append(data)
        return True

    def _said(self) -> list[str]:
        raw, self._pieces = b"".join(self._pieces), []
        return of_stream(raw) if self._passage.relay.is_sse else of_answer(raw)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
