"""Decides by how many devices a model can be divided (tensor parallelism). Pure.

Sources: vLLM 0.32, `config/model.py` verify_with_parallel_config (heads), `models/qwen2.py` Qwen2Attention, as all
others (heads of keys and values: each device has some, or some devices have the same one), `distributed/utils.py`
divide (the MLP), `quantization/auto_awq.py` create_weights (groups).
"""

from catalog.estimate.architecture import Architecture
from catalog.estimate.quantisation import scheme_of

MOST_DEVICES = 16
"""What device_count may be (`catalog.spec`)."""


def why_not_divided(arch: Architecture, devices: int) -> str | None:
    """Why vLLM does not divide a model of these dimensions by `devices`; None if it does, or if nobody knows."""
    if devices == 1 or not arch.is_known:
        return None
    if arch.heads % devices:
        return f"its {arch.heads} attention heads do not divide by {devices} devices (device_count)"
    if arch.latent is None and arch.kv_heads and max(arch.kv_heads, devices) % min(arch.kv_heads, devices):
        return f"its {arch.kv_heads} heads of keys and values do not divide by {devices} devices (device_count)"
    scheme = scheme_of(arch.quantisation)
    for layer in arch.layers:
        if layer.is_recurrent:
            continue
        if layer.ffn % devices:
            return f"its MLP of {layer.ffn} columns does not divide by {devices} devices (device_count)"
        if scheme is not None and scheme.group and not layer.experts and layer.ffn // devices % scheme.group:
            groups = f"{scheme.name}'s groups of {scheme.group}"
            return f"its MLP of {layer.ffn} columns, in {groups}, does not divide by {devices} devices (device_count)"
    return None


def divisors(arch: Architecture) -> list[int]:
    """All numbers of devices that a model of these dimensions divides by, 1 included."""
    return [count for count in range(1, MOST_DEVICES + 1) if why_not_divided(arch, count) is None]
