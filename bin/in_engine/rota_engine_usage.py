"""In an engine of Rota's: says at the end of a stream how many tokens it took, where the proxy asks for that.

vLLM itself says so only where the client asks for it (`stream_options`), and its stream is another then. What it took
stands in the state of its request when the stream is over (`request_metadata.final_usage_info`; vLLM 0.32,
`entrypoints/openai/chat_completion/serving.py` and `completion/serving.py`). The proxy takes the comment out again.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

ASKED = (b"x-rota-usage", b"tell")
_EVENTS = b"text/event-stream"


def telling(scope: Message, send: Send) -> Send:
    """`send`, or one that puts the comment before the end of a stream of events."""
    if ASKED not in scope["headers"]:
        return send
    is_stream = False

    async def tell(message: Message) -> None:
        nonlocal is_stream
        if message["type"] == "http.response.start":
            is_stream = any(name == b"content-type" and _EVENTS in value for name, value in message["headers"])
        elif is_stream and not message.get("more_body") and (comment := comment_of(scope)):
            await send({"type": "http.response.body", "body": message.get("body", b"") + comment, "more_body": True})
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    return tell


def comment_of(scope: Message) -> bytes:
    """What the request took; nothing where vLLM does not say so."""
    usage: Any = getattr(scope.get("state", {}).get("request_metadata"), "final_usage_info", None)
    try:
        return b": rota-usage %d %d\n\n" % (usage.prompt_tokens, usage.completion_tokens or 0)
    except (AttributeError, TypeError):
        return b""
