"""vLLM's middleware for an engine of Rota's: nothing is answered to who has not the engine's key.

vLLM's own check of `VLLM_API_KEY` leaves every path open that does not begin with /v1, /v2, /inference or /cohere
(vLLM 0.32, entrypoints/serve/middleware/authenticate.py), among them /pooling, /score, /invocations and /sleep. This
one is for all of them, so that another user of the machine cannot call an engine past the proxy. It runs in vLLM's
Python and uses the standard library only; `--middleware rota_engine_guard.Guard` finds it by PYTHONPATH.
"""

import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rota_engine_usage import telling

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

REFUSAL = b'{"error":{"message":"this engine is asked through Rota only","type":"AuthenticationError","code":401}}'


class Guard:
    """Pure ASGI: for HTTP and for websockets."""

    def __init__(self, app: App) -> None:
        """Raises: KeyError where the engine has no key: better none than an open one."""
        self.app = app
        self.expected = f"Bearer {os.environ['VLLM_API_KEY']}".encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket") or self.is_known(scope):
            await self.app(scope, receive, telling(scope, send) if scope["type"] == "http" else send)
        elif scope["type"] == "websocket":
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSAL})

    def is_known(self, scope: Message) -> bool:
        """Whether it comes with the key."""
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(sent) == 1 and hmac.compare_digest(sent[0], self.expected)
