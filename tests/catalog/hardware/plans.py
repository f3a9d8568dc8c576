"""What tests of plans share: models on a card of 24 GB, as the production catalog has them."""

from typing import Any

from catalog.estimate.checkpoint import Checkpoint
from catalog.estimate.flags import flags_of
from catalog.hardware.candidate import Candidate
from catalog.hardware.places import Place, named_places
from catalog.spec import GIB, AgentRoute, Gib, ModelSpec
from tests.catalog.estimate.asked import BERT
from tests.catalog.estimate.configurations import AWQ, BIMEDIX2, BIOMEDLM, CHATDOCTOR, MIXTRAL, QWEN_14B

RESERVE_BYTES = GIB // 2
RTX_3090 = named_places(["RTX 3090:24"], RESERVE_BYTES)


def candidate(
    name: str,
    config: dict[str, Any] | None,
    memory_gib: float,
    max_model_len: int,
    *,
    total_bytes: int | None = None,
    **more: Any,
) -> Candidate:
    """A model with these facts; None are none. `total_bytes` are its files'."""
    spec = ModelSpec(
        name=name, weights="w", port=8101, memory_bytes=Gib(memory_gib * GIB), max_model_len=max_model_len, **more
    )
    if config is None:
        return Candidate(spec, flags_of(spec), None, "nothing is known of this checkpoint")
    return Candidate(spec, flags_of(spec), Checkpoint(config, None, total_bytes, "from a test"))


BIMEDIX2_8B = candidate("bimedix2", BIMEDIX2, 18.5, 8192)
CHATDOCTOR_7B = candidate("chatdoctor", CHATDOCTOR, 15.5, 2048)
MIXTRAL_8X7B = candidate("mixtral", {**MIXTRAL, **AWQ}, 26, 8192)
QWEN_14B_4BIT = candidate("qwen", {**QWEN_14B, **AWQ}, 13, 8192)
BIOMEDLM_EMBED = candidate("biomedlm", BIOMEDLM, 6.5, 1024, embedder=True)
EMBEDDER = candidate("pubmedbert", BERT, 1.25, 512, embedder=True)
ALL = (BIMEDIX2_8B, BIOMEDLM_EMBED, CHATDOCTOR_7B, MIXTRAL_8X7B, EMBEDDER, QWEN_14B_4BIT)

ROUTES = {
    "Chat": AgentRoute(model="chatdoctor", fallback="qwen"),
    "Claims": AgentRoute(model="mixtral", fallback="qwen"),
    "Billing": AgentRoute(model="mixtral", fallback="qwen"),
    "MedicalQA": AgentRoute(model="bimedix2"),
    "Documentation": AgentRoute(model="qwen"),
}


def place(name: str, gib: float, **more: Any) -> Place:
    """A device of which models may use all."""
    return Place(name, round(gib * GIB), round(gib * GIB), **more)
