from catalog.answers import Answering, answering
from catalog.spec import AgentRoute

ROUTES = {
    "Claims": AgentRoute(model="mixtral", fallback="qwen"),
    "Chat": AgentRoute(model="chat"),
}


def test_an_agent_type_is_answered_by_its_own_model_where_that_can_be_had() -> None:
    assert answering(ROUTES, {}) == [
        Answering("Claims", "mixtral", "qwen", "mixtral"),
        Answering("Chat", "chat", None, "chat"),
    ]


def test_else_by_its_fallback_and_it_is_said_why() -> None:
    [claims, _] = answering(ROUTES, {"mixtral": "too large"})
    assert (claims.by, claims.why_not) == ("qwen", "too large")


def test_and_by_nobody_where_that_cannot_be_had_either_or_there_is_none() -> None:
    claims, chat = answering(ROUTES, {"mixtral": "too large", "qwen": "stopped", "chat": "failed"})
    assert (claims.by, claims.why_not) == (None, "too large")
    assert (chat.by, chat.why_not) == (None, "failed")
