from catalog.hardware.candidate import demands_on_gpu, estimate_on
from catalog.spec import GIB
from tests.catalog.hardware.plans import CHATDOCTOR_7B, QWEN_14B_4BIT, candidate, place


def test_the_estimate_is_made_on_the_largest_device_with_what_is_changed() -> None:
    small, large = place("small", 24), place("large", 80)
    one = estimate_on(CHATDOCTOR_7B, [small, large])
    assert one == estimate_on(CHATDOCTOR_7B, [large])
    assert one != estimate_on(CHATDOCTOR_7B, [small]), "from 70 GiB on vLLM batches more tokens"
    two = estimate_on(CHATDOCTOR_7B, [small], device_count=2)
    assert two is not None
    assert two.weights_bytes < 7 * GIB


def test_without_a_checkpoint_there_is_no_estimate() -> None:
    assert estimate_on(candidate("odd", None, 2, 64), [place("card", 24)]) is None


def test_what_it_asks_of_a_gpu_is_from_its_flags_and_its_checkpoint() -> None:
    assert [one.what for one in demands_on_gpu(QWEN_14B_4BIT)] == ["awq"]
    assert [one.what for one in demands_on_gpu(candidate("odd", None, 2, 64, dtype="bfloat16"))] == ["bfloat16"]
    online = candidate("odd", None, 2, 64, vllm_args={"quantization": "experts_int8"})
    assert [one.what for one in demands_on_gpu(online)] == ["experts-int8"]
