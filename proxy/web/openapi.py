"""`GET /openapi.json`: the proxy's own endpoints, as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1).

Made of the routes that there are and the first lines of what answers them, so that neither can say what the other does
not. What is forwarded is vLLM's, whose own description every engine has; here only who answers it is said.
"""

import inspect
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

from proxy.core import headers
from proxy.core.endpoints import ENDPOINTS, Endpoint
from proxy.web.audits import Wanted
from proxy.web.guard import OPEN_PATHS, role_for
from proxy.web.page import TYPES

VERSION = "1"
_JSON, _TEXT, _STREAM = ("application/json",), ("text/plain",), ("text/event-stream",)
_MOVED: dict[str, tuple[str, ...]] = {"302": ()}
_KEPT: dict[str, tuple[str, ...]] = {"304": ()}
_ANSWERS: dict[str, dict[str, tuple[str, ...]]] = {
    "/": _MOVED,
    "/ui/": _MOVED,
    "/ui": {"200": ("text/html",)} | _KEPT,
    "/ui/{file}": {"200": tuple(TYPES.values())} | _KEPT,
    **{path: {"200": _TEXT} for path in ("/metrics", "/metrics/engines", "/log", "/engines/{model}/log")},
    "/events": {"200": _STREAM},
    "/admin/engines/{model}/start": {"200": _JSON, "202": _JSON},
    "/admin/engines/{model}/stop": {"202": _JSON},
    "/admin/engines/{model}/sleep": {"202": _JSON},
}
"""With which statuses what answers that is no error, and of which media types it is; all else with 200 and JSON."""
_WORDS = {
    "200": "The answer.",
    "202": "It has begun, and goes on behind the answer.",
    "302": "The page is elsewhere, as Location says.",
    "304": "What the client has kept, by If-None-Match, is as it was.",
}
_QUERIES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "/status": (("explain", "string", "why this model's engine is where it is"),),
    "/plan": (("model", "array", "the models that are to be up at once"),),
    "/events": (
        ("after", "integer", "begin behind the event of this number; 0: with all that are kept"),
        ("kinds", "string", "only events of these kinds, with commas between"),
    ),
    "/log": (
        ("lines", "integer", "so many of the last lines (100)"),
        ("follow", "boolean", "go on as it grows (false)"),
    ),
}
_QUERIES["/engines/{model}/log"] = _QUERIES["/log"]
_QUERIES |= {
    "/admin/engines/{model}/start": (("wait", "boolean", "answer when it is ready (true)"),),
    "/admin/engines/{model}/stop": (("force", "boolean", "break off what it is answering (false)"),),
    "/admin/engines/{model}/sleep": (("level", "integer", "1 keeps the weights in host memory, 2 does not (1)"),),
    "/admin/reload": (
        ("dry_run", "boolean", "only say what would change (false)"),
        ("force", "boolean", "also where a new entry could not run (false)"),
    ),
}
_IN_HEAD: dict[str, tuple[tuple[str, str, str], ...]] = {
    "/events": (("Last-Event-ID", "string", "begin behind the event of this id, LIFE-N; it goes before `after`"),),
}
_BODIES: dict[str, type] = {"/admin/audit/find": Wanted}
_KEYS: list[dict[str, list[str]]] = [{"bearer": []}, {"xApiKey": []}]


class OpenApi:
    """Describes the application that its own route is in."""

    def __repr__(self) -> str:
        return "<OpenApi>"

    def routes(self) -> list[web.RouteDef]:
        """For the public application."""
        return [web.get("/openapi.json", self.openapi)]

    async def openapi(self, request: web.Request) -> web.Response:
        """This description."""
        return web.json_response(described(request.app.router.routes()))


def described(routes: Iterable[web.AbstractRoute]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _forwarded(endpoint)
    for route in routes:
        if route.resource is None or route.method in ("HEAD", "*"):
            continue
        path = route.resource.canonical
        paths.setdefault(path, {}).setdefault(route.method.lower(), _own(path, route))
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"]["default"] = {"$ref": "#/components/responses/Error"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rota", "version": VERSION, "description": "Several vLLM models behind one endpoint."},
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "xApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
            "responses": {"Error": _ERROR},
        },
    }


_ERROR = {
    "description": f"An error; the proxy's own have the header {headers.ERROR_MARK} with their code.",
    "headers": {headers.ERROR_MARK: {"schema": {"type": "string"}}, "Retry-After": {"schema": {"type": "integer"}}},
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "code"],
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "code": {"type": ["string", "integer", "null"]},
                            "param": {"type": ["string", "null"]},
                        },
                    }
                },
            }
        }
    },
}


def _own(path: str, route: web.AbstractRoute) -> dict[str, Any]:
    """One of the proxy's own."""
    said = inspect.getdoc(route.handler) or ""
    body = {} if (type_ := _BODIES.get(path)) is None else {"requestBody": _body(type_)}
    given = [("query", *one) for one in _QUERIES.get(path, ())] + [("header", *one) for one in _IN_HEAD.get(path, ())]
    answers = _ANSWERS.get(path, {"200": _JSON}).items()
    return {
        "summary": said.partition("\n")[0],
        "description": said,
        "parameters": [*_in_path(path), *(_parameter(*one) for one in given)],
        "security": [] if path in OPEN_PATHS else _KEYS,
        "x-role": str(role_for(path)) if path not in OPEN_PATHS else "none",
        "responses": {status: _answer(status, kinds) for status, kinds in answers},
    } | body


def _answer(status: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    return {"description": _WORDS[status]} | ({"content": {kind: {} for kind in kinds}} if kinds else {})


def _body(type_: type) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([type_])
    return {"required": False, "content": {"application/json": {"schema": components.get(type_.__name__, schema)}}}


def _forwarded(endpoint: Endpoint) -> dict[str, Any]:
    """One of vLLM's, which goes to the engine of the model, or of the agent type, that the request names."""
    chooses = {"name": headers.AGENT_TYPE, "in": "header", "required": False, "schema": {"type": "string"}}
    return {
        "summary": "vLLM's own; goes to the engine of the model or agent type that is named.",
        "externalDocs": {"url": "https://docs.vllm.ai/en/stable/serving/openai_compatible_server/"},
        "parameters": [*_in_path(endpoint.path), chooses],
        "security": _KEYS,
        "x-role": "client",
        "responses": {"200": {"description": "As the engine answers.", "headers": _TOLD}},
    }


_TOLD = {
    name: {"schema": {"type": "string"}} for name in (headers.MODEL, headers.WAITED, headers.SWAP, headers.REQUEST_ID)
}


def _in_path(path: str) -> list[dict[str, Any]]:
    names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _parameter(place: str, name: str, kind: str, what: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": kind} | ({"items": {"type": "string"}} if kind == "array" else {})
    return {"name": name, "in": place, "required": False, "description": what, "schema": schema}
