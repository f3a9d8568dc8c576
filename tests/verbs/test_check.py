"""The verb with stand-ins for NVML and for vLLM's Python; at the end, with the real vLLM, this project's catalogs."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.adapters import nvml
from proxy.cli import command_line
from proxy.daemon import DaemonError
from proxy.settings import Layout
from tests.catalog.estimate.test_gguf import FACTS, TENSORS, write_gguf
from tests.installation import CHECKOUT

GIB = 2**30
LLAMA = json.loads((CHECKOUT / "catalog" / "models" / "configs" / "chatdoctor-7b-fp16.json").read_text())
PYTHON = """#!{python}
import json, sys
from pathlib import Path
here = Path(__file__).parent
(here / "asked.json").write_bytes(sys.stdin.buffer.read())
print((here / "answer.json").read_text())
sys.exit(int((here / "status").read_text()))
"""


class House:
    """A project folder with one catalog, and an environment of vLLM's whose Python answers what it is told to."""

    def __init__(self, root: Path) -> None:
        self.here = Layout(root)
        self.catalog = root / "catalog" / "demo"
        self.catalog.mkdir(parents=True)
        self.vllm = self.environment(".venv-vllm")
        self.answer()
        self.gpus()

    def environment(self, name: str) -> Path:
        bin_ = self.here.root / name / "bin"
        bin_.mkdir(parents=True)
        (bin_ / "python").write_text(PYTHON.format(python=sys.executable))
        (bin_ / "python").chmod(0o755)
        return bin_

    def answer(self, *faults: dict[str, Any], status: int = 0, of: Path | None = None) -> None:
        told = {"vllm": "0.99", "faults": faults}
        ((of or self.vllm) / "answer.json").write_text(json.dumps(told))
        ((of or self.vllm) / "status").write_text(str(status))

    def asked(self, of: Path | None = None) -> list[dict[str, Any]]:
        cases: list[dict[str, Any]] = json.loads(((of or self.vllm) / "asked.json").read_text())["cases"]
        return cases

    def gpus(self, *gpus: dict[str, Any]) -> None:
        (self.here.root / "gpus.json").write_text(json.dumps(gpus))

    def model(self, name: str, *, is_there: bool = True, config: dict[str, Any] = LLAMA, **more: Any) -> None:
        fixed = {"name": name, "weights": f"var/models/{name}", "port": 8200 + len(list(self.catalog.glob("*")))}
        amounts = {"memory_gib": 15, "kv_cache_gib": 1, "max_model_len": 2048, "licence": "MIT", "chat_template": "t"}
        text = yaml.safe_dump({**fixed, **amounts, "source": {"repo": "o/m", "revision": "a" * 40}, **more})
        (self.catalog / f"{name}.yaml").write_text(text)
        (self.catalog / "agents.yaml").write_text(yaml.safe_dump({"agent_types": {"Chat": {"model": name}}}))
        (self.here.root / "t").touch()
        if is_there:
            folder = self.here.root / "var" / "models" / name
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(json.dumps(config))
            (folder / "pytorch_model.bin").write_bytes(b"weights")
            (folder / "tokenizer.json").write_text("{}")

    def check(self, *arguments: str) -> int:
        parsed = command_line(self.here).parser.parse_args(["check", *arguments])
        return int(parsed.verb(self.here, parsed))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    found = importlib.util.spec_from_file_location("fake_pynvml", CHECKOUT / "tests" / "fakes" / "gpus" / "pynvml.py")
    assert found is not None
    assert found.loader is not None
    fake = importlib.util.module_from_spec(found)
    found.loader.exec_module(fake)
    monkeypatch.setattr(nvml, "pynvml", fake)
    monkeypatch.setenv("FAKE_NVML", str(tmp_path))
    for variable in ("ROTA_CATALOG", "ROTA_VLLM"):
        monkeypatch.delenv(variable, raising=False)
    return House(tmp_path)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def fault(model: str, aspect: str, what: str, remedy: str | None = None) -> dict[str, Any]:
    return {"model": model, "aspect": aspect, "what": what, "remedy": remedy}


def test_a_good_catalog_passes_and_says_what_was_looked_at(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.model("good")
    assert house.check() == 0
    assert lines(capsys) == [
        "note: vLLM 0.99 was asked",
        "note: of large files only the size was compared; --hashes reads all of them",
        "checked 1 model of catalog/demo: 0 faults",
    ]


def test_each_fault_is_a_line_with_its_remedy_before_the_notes_and_fails(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.model("absent", is_there=False)
    house.model("long", max_model_len=4096, licence_forbids="sale")
    house.answer(fault("absent", "flags", "this vLLM has no flag 'x'", "take it out"))
    assert house.check() == 1
    assert lines(capsys)[:4] == [
        "absent: this vLLM has no flag 'x'; take it out",
        "note: absent: is not downloaded yet (o/m): nothing is known of it; bin/manage_vllm.sh download absent",
        "long: kv_cache_gib is 1, and one request of max_model_len takes 2; set kv_cache_gib to 2 or more, or lower "
        "max_model_len",
        "long: max_model_len 4096 is above the model's own limit of 2048 (max_position_embeddings); set max_model_len "
        "to 2048 or less",
    ]


def test_what_the_disk_and_vllm_both_tell_is_told_once(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.model("long", max_model_len=4096, kv_cache_gib=2)
    house.answer(fault("long", "context", "User-specified max_model_len (4096) is greater"))
    assert house.check() == 1
    assert lines(capsys)[-1] == "checked 1 model of catalog/demo: 1 fault"


def test_without_asking_vllm_it_says_so(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.model("good", is_there=False)
    house.answer(status=1)
    assert house.check("--quick") == 0
    assert "note: vLLM was not asked (--quick)" in lines(capsys)


def test_with_hashes_it_does_not_say_that_only_sizes_were_compared(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.model("good")
    assert house.check("--hashes") == 0
    assert lines(capsys) == ["note: vLLM 0.99 was asked", "checked 1 model of catalog/demo: 0 faults"]


def test_vllm_gets_the_command_line_that_the_gate_would_give_on_the_gpus_that_the_model_may_use(house: House) -> None:
    old = {"uuid": "GPU-old", "total": 24 * GIB, "capability": [7, 0]}
    house.gpus(old, {"uuid": "GPU-new", "total": 48 * GIB, "capability": [9, 0]})
    house.model("any", env={"A": "b"})
    house.model("new", devices=["gpu1"])
    house.check()
    anywhere, new = house.asked()
    assert (anywhere["capability"], new["capability"]) == ([7, 0], [9, 0])
    assert anywhere["argv"][:2] == ["serve", str(house.here.root / "var" / "models" / "any")]
    assert (anywhere["config"], anywhere["env"]) == (LLAMA, {"A": "b"})
    shares = [case["argv"][case["argv"].index("--gpu-memory-utilization") + 1] for case in (anywhere, new)]
    assert shares == [f"{int(14.5 / total * 10_000) / 10_000:.4f}" for total in (24, 48)]


def test_without_a_gpu_there_is_neither_a_share_nor_a_capability(house: House) -> None:
    house.model("good")
    house.check()
    [case] = house.asked()
    assert (case["capability"], "--gpu-memory-utilization" in case["argv"]) == (None, False)


def test_memory_that_is_too_little_on_a_gpu_is_a_fault(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.model("good", memory_gib=12)
    assert house.check() == 0
    house.gpus({"uuid": "GPU-a", "total": 24 * GIB})
    assert house.check() == 1
    assert any(line.startswith("good: memory_gib is 12, and it needs about 1") for line in lines(capsys))


def test_a_model_that_cannot_be_started_without_a_gpu_is_a_fault(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.model("measured", kv_cache_gib=14)
    path = house.catalog / "measured.yaml"
    path.write_text(path.read_text().replace("kv_cache_gib: 14\n", ""))
    assert house.check() == 1
    assert "measured: without a GPU, kv_cache_gib must be given in the model's file" in lines(capsys)


def test_a_model_with_a_vllm_of_its_own_is_put_to_that_one(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    other = house.environment("other")
    house.answer(of=other)
    (other / "vllm").touch(0o755)
    house.model("a")
    house.model("b", vllm="other/bin/vllm")
    assert house.check() == 0
    assert ([case["model"] for case in house.asked()], house.asked(other)[0]["model"]) == (["a"], "b")


def test_the_python_that_is_asked_is_the_one_that_vllm_runs_in(house: House) -> None:
    house.model("a")
    other = house.environment("usr")
    house.answer(of=other)
    (other / "python").rename(other / "python3.12")
    (house.vllm / "python").unlink()
    (house.vllm / "vllm").write_text(f"#!{other / 'python3.12'}\n")
    assert house.check() == 0
    assert house.asked(other)[0]["model"] == "a"


def test_where_vllm_is_not_installed_it_says_who_was_not_asked_about(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.model("good")
    (house.vllm / "python").unlink()
    assert house.check() == 0
    assert f"note: {house.vllm / 'python'} is not there: vLLM was not asked about good" in lines(capsys)


def test_a_vllm_of_a_models_own_that_is_not_there_is_a_fault(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.model("good", vllm="/nonexistent")
    for how in ([], ["--quick"]):
        assert house.check(*how) == 1
        assert lines(capsys)[0].startswith("good: its vllm /nonexistent is not there")


def test_weights_that_memory_gib_cannot_hold_are_a_fault_also_without_a_gpu(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.model("good", memory_gib=10)
    assert house.check() == 1
    assert lines(capsys)[0] == "good: memory_gib is 10, and its weights alone take 12.6; raise memory_gib"


def test_a_vllm_that_cannot_be_asked_is_an_error_with_its_last_line(house: House) -> None:
    house.model("good")
    house.answer(status=3)
    (house.vllm / "python").write_text("#!/bin/sh\necho one >&2; echo two >&2; exit 3\n")
    with pytest.raises(DaemonError, match=r"ended with 3\): two; --quick does without it"):
        house.check()


def test_gpus_that_cannot_be_read_are_an_error(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.model("good")
    house.gpus({"uuid": "GPU-a", "total": 24 * GIB})

    def fails(_: object) -> None:
        raise nvml.pynvml.NVMLError("Unknown Error")

    monkeypatch.setattr(nvml.pynvml, "nvmlDeviceGetCudaComputeCapability", fails)
    with pytest.raises(DaemonError, match=r"the GPUs cannot be read: .*Unknown Error"):
        house.check()


def test_only_the_models_that_are_named_are_checked(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.model("a")
    house.model("b", licence=None)
    assert house.check("a") == 0
    assert lines(capsys)[-1] == "checked 1 model of catalog/demo: 0 faults"
    assert house.check("c") == 2
    assert "there is no model 'c'" in capsys.readouterr().err


def test_every_file_that_is_broken_is_told_and_the_sound_models_are_checked(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.model("good", licence=None)
    for name in ("bad", "worse"):
        (house.catalog / f"{name}.yaml").write_text("nonsense: 1")
    assert house.check("--quick") == 1
    told = lines(capsys)
    assert [line.split(":")[0] for line in told[:2]] == [
        str(house.catalog / f"{name}.yaml") for name in ("bad", "worse")
    ]
    assert told[2].startswith("good: no licence is noted")
    assert told[-1] == "checked 1 model of catalog/demo: 3 faults"
    assert house.check("--quick", "--json", "bad") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (len(answer["files"]), answer["models"], answer["faults"]) == (2, [], 2)
    assert "nonsense: is not a known key" in answer["files"][0]


def test_a_model_on_the_proxys_own_port_is_told_with_the_rest(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.model("good")
    (house.here.root / "settings.yaml").write_text("listen_port: 8200\n")
    assert house.check("--quick") == 1
    assert "8200 is the proxy's own port" in lines(capsys)[0]


def test_for_programs_it_is_json(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.model("good")
    house.model("worse", licence=None)
    assert house.check("--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["checked"], told["faults"], told["vllm"]) == (2, 1, ["vLLM 0.99 was asked"])
    good, worse = told["models"]
    assert (good["model"], good["is_there"], good["facts"]) == ("good", True, "the files in var/models/good")
    assert (good["findings"], [one["aspect"] for one in worse["findings"]]) == ([], ["licence"])
    assert worse["findings"][0]["remedy"] == "write the weights' own under 'licence'"


@pytest.mark.vllm
@pytest.mark.parametrize(("folder", "count"), [("models", 6), ("demo", 4)])
def test_this_projects_catalogs_pass_with_the_vllm_that_is_installed(folder: str, count: int) -> None:
    argv = [str(CHECKOUT / "bin" / "manage_vllm.sh"), "check", "--json", "--catalog", f"catalog/{folder}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=CHECKOUT, timeout=200)
    told = json.loads(done.stdout)
    assert told["checked"] == count, done.stderr
    assert told["vllm"] == ["vLLM 0.32.0 was asked"]
    faults = [one["what"] for model in told["models"] for one in model["findings"] if one["is_fault"]]
    assert faults == []
    assert done.returncode == 0


def test_what_keeps_a_gguf_file_from_being_served_is_told_and_vllm_is_not_asked_about_it(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    file = house.here.root / "var" / "models" / "m.gguf"
    file.parent.mkdir(parents=True)
    write_gguf(file, FACTS, TENSORS)
    house.model("m", is_there=False, weights="var/models/m.gguf", source=None)
    (house.vllm.parent / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    assert house.check() == 1
    told = [line for line in lines(capsys) if "GGUF" in line]
    assert [line.split(": ")[1].split(",")[0].split(" with")[0] for line in told] == [
        "GGUF file has no configuration beside it",
        "weights are a GGUF file",
        "weights are a GGUF file",
    ]
    assert "vllm-gguf-plugin==0.0.5" in told[1]
    assert "on a GPU only" in told[2]
    assert not (house.vllm / "asked.json").exists()
