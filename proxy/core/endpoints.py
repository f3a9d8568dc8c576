"""Which of vLLM's endpoints go through the proxy, and where each says who shall answer. Pure.

Rule: an allow-list. What stands in `ENDPOINTS` goes through by agent type or model; what stands in `ENGINE_ONLY` goes
through under `/engines/MODEL/` beside those; all else does not, whatever vLLM makes of it. A test reads the routes of
the installed vLLM and fails for one that is decided nowhere.

Sources: vLLM 0.32, `vllm/entrypoints/*/api_router.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Key(StrEnum):
    """Where a request says who shall answer."""

    JSON = "json"
    """In the fields `model` and `agent_type` of a JSON object."""
    FORM = "form"
    """In fields of a multipart form."""
    REMEMBERED = "remembered"
    """Nowhere: the id in the path was made by one engine."""
    SOCKET = "socket"
    """In the query of a websocket, or in its first session.update."""
    NONE = "none"
    """Nowhere: it can only be asked of a named engine."""


class Form(StrEnum):
    """The form of errors, and of errors in streams."""

    OPENAI = "openai"
    RESPONSES = "responses"
    """OpenAI's; in a stream an event `error` of the Responses API."""
    ANTHROPIC = "anthropic"


class Purpose(StrEnum):
    """What an engine must be for."""

    TEXT = "text"
    POOLING = "pooling"
    """Embeddings, scores, classes: `embedder: true` in the catalog."""
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`streams`: with `"stream": true` it is answered with server-sent events.

    `tells_usage_aside`: those events say how many tokens they took only where a client has asked for that.
    """

    method: str
    path: str
    key: Key = Key.JSON
    purpose: Purpose = Purpose.TEXT
    form: Form = Form.OPENAI
    streams: bool = False
    tells_usage_aside: bool = False


def _pooling(path: str) -> Endpoint:
    return Endpoint("POST", path, purpose=Purpose.POOLING)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/v1/chat/completions", streams=True, tells_usage_aside=True),
    Endpoint("POST", "/v1/chat/completions/batch"),
    Endpoint("POST", "/v1/completions", streams=True, tells_usage_aside=True),
    Endpoint("POST", "/v1/responses", form=Form.RESPONSES, streams=True),
    Endpoint("GET", "/v1/responses/{response_id}", Key.REMEMBERED, form=Form.RESPONSES),
    Endpoint("POST", "/v1/responses/{response_id}/cancel", Key.REMEMBERED, form=Form.RESPONSES),
    Endpoint("POST", "/v1/messages", form=Form.ANTHROPIC, streams=True),
    Endpoint("POST", "/v1/messages/count_tokens", form=Form.ANTHROPIC),
    Endpoint("POST", "/v1/systemone"),
    Endpoint("POST", "/generative_scoring"),
    Endpoint("POST", "/v1/audio/transcriptions", Key.FORM, streams=True),
    Endpoint("POST", "/v1/audio/translations", Key.FORM, streams=True),
    Endpoint("GET", "/v1/realtime", Key.SOCKET),
    _pooling("/v1/embeddings"),
    _pooling("/v2/embed"),
    _pooling("/pooling"),
    _pooling("/classify"),
    _pooling("/score"),
    _pooling("/v1/score"),
    _pooling("/rerank"),
    _pooling("/v1/rerank"),
    _pooling("/v2/rerank"),
    Endpoint("POST", "/tokenize", purpose=Purpose.ANY),
    Endpoint("POST", "/detokenize", purpose=Purpose.ANY),
)

ENGINE_ONLY: tuple[Endpoint, ...] = tuple(
    Endpoint("GET", path, Key.NONE, Purpose.ANY)
    for path in ("/health", "/version", "/metrics", "/load", "/v1/models", "/tokenizer_info")
)
"""They say something of one engine and change nothing in it; without its name they would say it of some engine."""

OWN: Mapping[str, str] = {
    "/health": "the proxy's own health",
    "/v1/models": "all models of the catalog",
    "/metrics": "the proxy's own metrics",
}
"""Paths of vLLM's that the proxy answers itself."""

_STEERS = "it steers the engine, which is the scheduler's alone"
_WEIGHTS = "it changes the weights that answers come from"
_TOKENS = "raw token ids in and out, for the parts of a split vLLM; behind --enable-scale-out"
_PEOPLE = "a page for people, which loads scripts from elsewhere"

FORBIDDEN: Mapping[str, str] = {
    "/sleep": _STEERS,
    "/wake_up": _STEERS,
    "/is_sleeping": _STEERS,
    "/release_kv_cache_memory": _STEERS,
    "/pause": _STEERS,
    "/resume": _STEERS,
    "/is_paused": _STEERS,
    "/abort_requests": "it ends the requests of others",
    "/inference/v1/abort_requests": "it ends the requests of others",
    "/collective_rpc": "it calls any method of the workers",
    "/server_info": "it shows the whole configuration and the environment",
    "/reset_prefix_cache": "it slows all others down",
    "/reset_mm_cache": "it slows all others down",
    "/reset_encoder_cache": "it slows all others down",
    "/init_weight_transfer_engine": _WEIGHTS,
    "/shutdown_weight_transfer_engine": _WEIGHTS,
    "/start_weight_update": _WEIGHTS,
    "/start_draft_weight_update": _WEIGHTS,
    "/update_weights": _WEIGHTS,
    "/finish_weight_update": _WEIGHTS,
    "/update_weight_version": _WEIGHTS,
    "/weight_info": _WEIGHTS,
    "/weight_checker": _WEIGHTS,
    "/v1/load_lora_adapter": _WEIGHTS,
    "/v1/unload_lora_adapter": _WEIGHTS,
    "/get_world_size": "for trainers of the weights",
    "/start_profile": "it slows all others down, and writes to the disk",
    "/stop_profile": "it slows all others down, and writes to the disk",
    "/scale_elastic_ep": "it takes devices that the ledger does not know of",
    "/is_scaling_elastic_ep": "it takes devices that the ledger does not know of",
    "/fault_tolerance/apply": _STEERS,
    "/fault_tolerance/status": _STEERS,
    "/invocations": "what it does is chosen by the body: a way around this list",
    "/ping": "SageMaker's /health",
    "/kv_event_sources": "it names sockets of the engine's inside",
    "/inference/v1/generate": _TOKENS,
    "/v1/chat/completions/render": _TOKENS,
    "/v1/completions/render": _TOKENS,
    "/v1/responses/render": _TOKENS,
    "/v1/messages/render": _TOKENS,
    "/v1/chat/completions/derender": _TOKENS,
    "/v1/completions/derender": _TOKENS,
    "/cohere/v2/chat": "experimental in vLLM, behind an environment variable; its errors have a form of their own",
    "/cohere/v2/chat/render": _TOKENS,
    "/docs": _PEOPLE,
    "/redoc": _PEOPLE,
    "/docs/oauth2-redirect": _PEOPLE,
    "/static": _PEOPLE,
    "/openapi.json": "it lists what does not go through here",
}
"""All other routes of vLLM 0.32, each with why it never goes through."""

_BY_PATH = {(one.method, one.path): one for one in (*ENDPOINTS, *ENGINE_ONLY) if "{" not in one.path}
_RESPONSES = "/v1/responses/"
_CANCEL = "/cancel"
_LONGEST_ID = 200


def may_pass(method: str, path: str) -> Endpoint | None:
    """The endpoint of a named engine that `path` is, in just this spelling; None where it may not pass.

    An escape, a doubled slash, a dot segment or another case is another path: what vLLM would make of it is not asked.
    """
    if (endpoint := _BY_PATH.get((method, path))) is not None:
        return endpoint
    if not path.startswith(_RESPONSES) or path in FORBIDDEN:
        return None
    response_id, suffix = path.removeprefix(_RESPONSES), ""
    if method == "POST" and response_id.endswith(_CANCEL):
        response_id, suffix = response_id.removesuffix(_CANCEL), _CANCEL
    elif method != "GET":
        return None
    if not is_response_id(response_id):
        return None
    return next(one for one in ENDPOINTS if one.path == f"{_RESPONSES}{{response_id}}{suffix}")


def is_response_id(text: str) -> bool:
    """Whether `text` can be the id of a response: letters, digits, `-` and `_` only."""
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.replace("-", "").replace("_", "").isalnum()
