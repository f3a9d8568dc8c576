"""What serves a model, for the audit."""

from proxy.identity import Identity
from proxy.weights import Weights


class Known(Weights):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def of(self, model: str) -> str:
        self.asked.append(model)
        return "sha256"


def test_engine_and_weights() -> None:
    weights = Known()
    identity = Identity({"a": "a|0.32.0|flags"}, weights)
    assert identity.of("a") == ("a|0.32.0|flags", "sha256")
    assert identity.of("gone") == ("", "sha256")
    assert weights.asked == ["a", "gone"]
    assert Identity({}).of("a") == ("", "")
