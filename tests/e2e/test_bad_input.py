"""What a client, a catalog or an engine can do wrong, on the whole system with fake engines."""

import os
import re
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import AGENTS, fakes
from tests.installation import Installation, eventually, fake_model, running

pytestmark = pytest.mark.timeout(120)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["X-Rota-Error"] == answer.json()["error"]["code"]
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def post(fake: Installation, content: bytes, path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", **headers}
    return httpx.post(f"{fake.url}{path}", content=content, headers=headers, timeout=30, trust_env=False)


def test_an_unknown_agent_type_lists_what_there_is_and_suggests_the_nearest(fake: Installation) -> None:
    answer = fake.chat(agent_type="MedcalQA")
    assert answer.status_code == 404
    assert "Did you mean 'MedicalQA'?" in error_of(answer)["message"]
    assert all(name in error_of(answer)["message"] for name in AGENTS)


def test_an_unknown_model_lists_what_there_is_and_suggests_the_nearest(fake: Installation) -> None:
    answer = fake.chat(model="clams")
    assert answer.status_code == 404
    assert "Did you mean 'claims'?" in error_of(answer)["message"]
    assert error_of(answer)["param"] == "model"


def test_agent_type_and_model_that_disagree_are_refused(fake: Installation) -> None:
    answer = fake.chat(agent_type="Claims", model="medical")
    assert answer.status_code == 400
    assert "agree" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"model": "medical", ', "not JSON"),
        (b"[1, 2]", "must be a JSON object"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"model": 3}', "'model' must be a string"),
        (b'{"messages": []}', "give 'agent_type'"),
    ],
)
def test_a_body_that_cannot_be_routed_gets_400_and_says_why(fake: Installation, body: bytes, says: str) -> None:
    answer = post(fake, body)
    assert answer.status_code == 400
    assert says in error_of(answer)["message"]


def test_a_body_over_the_limit_is_refused_whether_or_not_its_length_is_declared(tmp_path: Path) -> None:
    installation = Installation(tmp_path, fakes(), AGENTS, 4.5)
    installation.environ["ROTA_MAX_BODY_MIB"] = "1"
    body = b'{"model": "medical", "x": "' + b"x" * 2**21 + b'"}'
    with running(installation):
        for content in (body, iter([body[:1000], body[1000:]])):
            json = {"Content-Type": "application/json"}
            answer = httpx.post(f"{installation.url}/v1/completions", content=content, headers=json, timeout=30)
            assert answer.status_code == 413
            assert "max_body_mib" in error_of(answer)["message"]


def test_a_path_that_is_not_served_lists_those_that_are(fake: Installation) -> None:
    answer = post(fake, b"{}", path="/v1/chat/completion")
    assert answer.status_code == 404
    assert "POST /v1/chat/completions" in error_of(answer)["message"]
    assert post(fake, b"{}", path="/engines/medical/stop").status_code == 404, "a verb, on the public port"


def test_a_wrong_method_says_which_is_right(fake: Installation) -> None:
    answer = httpx.get(f"{fake.url}/v1/completions")
    assert answer.status_code == 405
    assert "only POST" in error_of(answer)["message"]


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An installation whose models have one fault each."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    models = [
        fake_model("good"),
        fake_model("huge", memory_gib=400),
        fake_model("failing", env={"FAKE_FAIL": "start"}),
        fake_model("missing", weights="models/nowhere", source={"pypi": "x==1", "path": "x"}),
        fake_model("taken", port=taken.getsockname()[1]),
        fake_model("slow", env={"FAKE_FAIL": "never-ready"}, start_timeout_s=2),
        fake_model("misflagged", vllm_args={"no-such-flag": True}),
        fake_model("dying", env={"FAKE_DIE_AFTER": "3"}),
        fake_model("vllmless", vllm="models/no-vllm"),
    ]
    agents = {model["name"].title(): model["name"] for model in models}
    with running(Installation(Path(tmp_path_factory.mktemp("t")), models, agents, 4.5)) as installation, taken:
        yield installation


@pytest.mark.parametrize(
    ("model", "status", "code", "says", "also"),
    [
        ("huge", 400, "model_too_large", "needs 400.00 GiB, and it fits nowhere: cpu0 has 4.50 GiB", ""),
        ("failing", 503, "engine_start_failed", "ended while starting", "Engine core initialization failed"),
        ("missing", 503, "weights_missing", "bin/download_models.py missing", "models/nowhere"),
        ("taken", 503, "port_taken", "another process has it", "pid {this}"),
        ("slow", 503, "engine_start_failed", "was not ready 2 s after its start", ""),
        ("misflagged", 503, "engine_start_failed", "vLLM does not understand one of its flags", "--no-such-flag"),
        ("vllmless", 503, "engine_start_failed", "install-vllm", "models/no-vllm"),
    ],
)
def test_a_model_that_cannot_start_says_why_and_the_rest_is_for_the_boxs_own_people(
    troubled: Installation, model: str, status: int, code: str, says: str, also: str
) -> None:
    also = also.format(this=os.getpid())
    answer = troubled.chat(model=model)
    assert answer.status_code == status
    assert error_of(answer)["code"] == code
    message = error_of(answer)["message"]
    assert says in message
    assert not also or also not in message
    assert "\n" not in message
    assert str(troubled.root) not in message
    if status == 503:
        # A cause in the catalog does not pass by waiting, and weights do not come by themselves.
        assert ("Retry-After" in answer.headers) == (model not in ("misflagged", "missing"))
        # Without weights nobody even makes room for it: it is warned of, and nothing was tried that failed.
        eventually(lambda: troubled.state(model) == ("stopped" if model == "missing" else "failed"))
        for words in (says, also):
            engine = troubled.engine(model)
            assert words in (engine["failure"] or "\n".join(engine["warnings"]))
            assert words in troubled.manage("status").stdout
    assert model not in troubled.status()["devices"][0]["reservations"]
    assert troubled.chat(model="good").status_code == 200


def test_an_engine_that_dies_in_mid_stream_breaks_the_connection_and_the_next_request_succeeds(
    troubled: Installation,
) -> None:
    body = {"model": "dying", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9, "stream": True}
    got: list[str] = []
    with (
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("POST", f"{troubled.url}/v1/chat/completions", json=body, timeout=60) as answer,
    ):
        got.extend(answer.iter_lines())
    assert [line for line in got if line.startswith("data: {")]
    assert "data: [DONE]" not in got
    assert troubled.chat(model="dying", timeout_s=30).status_code == 200


def test_what_an_engine_leaves_behind_is_ended_before_its_room_is_used(fake: Installation) -> None:
    """Like vLLM's, the fake's EngineCore outlives its API server."""
    fake.chat(model="medical")
    leader = fake.engine("medical")["pid"]
    core = next(pid for pid in fake.left_over() if pid != leader and os.getpgid(pid) == leader)
    os.kill(leader, signal.SIGKILL)
    eventually(lambda: fake.engine("medical")["crashes"] == 1)  # who asks before that has it stopped
    assert fake.chat(model="claims").status_code == 200
    assert core not in fake.left_over()
    assert set(fake.status()["devices"][0]["reservations"]) == {"claims"}
    told = rf"crashed once \d s ago: its (process|API server, pid {leader},) ended: SIGKILL\n    \| the last lines"
    shown = fake.manage("status").stdout
    assert re.search(told, shown), shown


@pytest.mark.parametrize("proxy_first", [True, False])
def test_what_an_engine_leaves_behind_while_the_proxy_is_down_is_ended_before_anything_starts(
    fake: Installation, proxy_first: bool
) -> None:
    fake.chat(model="medical")
    leader, proxy = fake.engine("medical")["pid"], fake.status()["proxy"]["pid"]
    core = next(pid for pid in fake.left_over() if pid != leader and os.getpgid(pid) == leader)
    for pid in (proxy, leader) if proxy_first else (leader, proxy):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: fake.manage("status").returncode == 0)
    assert fake.chat(model="claims").status_code == 200
    assert core not in fake.left_over()
    assert set(fake.status()["devices"][0]["reservations"]) == {"claims"}


def test_status_shows_what_an_engine_really_holds_beside_what_is_reserved_for_it(tmp_path: Path) -> None:
    models = [fake_model("small", env={"FAKE_HOLD_MIB": "8"}), fake_model("large", 1.5, env={"FAKE_HOLD_MIB": "128"})]
    with running(Installation(tmp_path, models, {"Small": "small", "Large": "large"}, 4.5)) as installation:
        for model in ("small", "large"):
            installation.chat(model=model)

        def more_mib() -> float:
            small, large = (installation.engine(model)["held_bytes"] for model in ("small", "large"))
            return float(large - small) / 2**20

        eventually(lambda: 110 < more_mib() < 130)
        installation.manage("stop", "large")
        assert installation.engine("large")["held_bytes"] == 0


def test_a_busy_engine_finishes_its_stream_before_another_model_gets_its_room(tmp_path: Path) -> None:
    models = [fake_model("slow", env={"FAKE_TOKEN_S": "0.1"}), fake_model("other")]
    with running(Installation(tmp_path, models, {"Slow": "slow", "Other": "other"}, 4.5)) as installation:
        installation.chat(model="slow", max_tokens=1)
        body = {"model": "slow", "messages": [{"role": "user", "content": "x"}], "max_tokens": 20, "stream": True}
        with httpx.stream("POST", f"{installation.url}/v1/chat/completions", json=body, timeout=30) as answer:
            lines = answer.iter_lines()
            next(lines)
            with ThreadPoolExecutor(1) as pool:
                other = pool.submit(installation.chat, model="other")
                eventually(lambda: installation.state("slow") == "draining")
                assert "data: [DONE]" in list(lines)
                assert other.result().status_code == 200
        assert installation.fake_log() == ["started slow", "finished slow", "started other"]


def test_a_client_that_leaves_the_queue_takes_its_demand_along(fake: Installation) -> None:
    fake.chat(model="claims")
    body = {"model": "claims", "messages": [{"role": "user", "content": "x"}], "max_tokens": 500, "stream": True}
    with httpx.stream("POST", f"{fake.url}/v1/chat/completions", json=body, timeout=30) as answer:
        lines = answer.iter_lines()  # kept: httpx closes the response when this is collected
        next(lines)
        with pytest.raises(httpx.ReadTimeout):
            fake.chat(model="chat", timeout_s=0.3)
        eventually(lambda: fake.status()["queue"] == [] and fake.state("claims") == "ready")
    eventually(lambda: fake.engine("claims")["leases"] == 0)
    assert fake.state("chat") == "stopped"


def test_a_second_proxy_says_that_there_is_one_and_exits(fake: Installation) -> None:
    argv = [str(fake.root / ".venv/bin/python"), "-m", "proxy"]
    done = subprocess.run(argv, env=fake.environ, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"another proxy, pid {fake.status()['proxy']['pid']}, runs in {fake.root}" in done.stderr


def test_a_port_that_is_taken_is_named_by_start_service(tmp_path: Path) -> None:
    installation = Installation(tmp_path, fakes(), AGENTS, 4.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", installation.port))
        taken.listen()
        try:
            done = installation.manage("start-service")
        finally:
            installation.stop()
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{installation.port}" in done.stderr
    assert "Address already in use" in done.stderr or "address already in use" in done.stderr


def test_a_model_on_the_proxys_own_port_is_refused_by_start_service(tmp_path: Path) -> None:
    installation = Installation(tmp_path, [fake_model("a")], {"Chat": "a"}, 4.5)
    path = installation.catalog / "a.yaml"
    path.write_text(re.sub(r"port: \d+", f"port: {installation.port}", path.read_text()))
    done = installation.manage("start-service")
    assert (done.returncode, "port: " in done.stderr, "is the proxy's own port" in done.stderr) == (1, True, True)
    assert installation.left_over() == []


def test_what_will_not_start_is_said_when_the_service_starts(tmp_path: Path) -> None:
    models = [fake_model("huge", memory_gib=400), fake_model("missing", weights="models/nowhere")]
    installation = Installation(tmp_path, models, {"Chat": "huge"}, 4.5)
    try:
        done = installation.manage("start-service")
        shown = installation.manage("status").stdout
    finally:
        installation.stop()
    assert done.returncode == 0
    for told in (done.stdout, shown, installation.log("proxy")):
        assert "huge needs 400.00 GiB, and it fits nowhere: cpu0 has" in told
        assert "missing's weights are missing" in told


def test_a_wrong_catalog_names_file_line_and_key_and_nothing_starts(tmp_path: Path) -> None:
    installation = Installation(tmp_path, fakes(), AGENTS, 4.5)
    path = installation.catalog / "medical.yaml"
    path.write_text(path.read_text() + "memry_gib: 3\n")
    done = installation.manage("start-service")
    assert done.returncode == 1
    line = len(path.read_text().splitlines())
    assert f"{path}:{line}: memry_gib: is not a known key. Did you mean 'memory_gib'?" in done.stderr
    assert installation.left_over() == []


def test_an_engine_started_by_hand_while_the_proxy_is_down_says_so_and_exits(fake: Installation) -> None:
    assert "proxy: stopped" in fake.supervisorctl("stop", "proxy")
    try:
        fake.supervisorctl("start", "chat")
        eventually(lambda: "EXITED" in fake.supervisorctl("status", "chat"))
        assert "no answer from the proxy" in fake.log("chat")
    finally:
        fake.supervisorctl("start", "proxy")
    eventually(lambda: "RUNNING" in fake.supervisorctl("status", "proxy"))
    eventually(lambda: fake.gate_socket.exists() and fake.manage("status").returncode == 0)


def test_the_engine_program_run_outside_supervisord_is_refused(fake: Installation) -> None:
    argv = [str(fake.root / "bin" / "engine"), "chat"]
    environ = {**fake.environ, "ROTA_GATE": str(fake.gate_socket)}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "is not supervisord's program chat: start it with" in done.stderr
    assert fake.state("chat") == "stopped"


def test_a_restart_by_hand_is_a_new_process_in_the_same_room(fake: Installation) -> None:
    fake.chat(model="chat")
    old = fake.engine("chat")["pid"]
    is_done = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(_statuses, fake, is_done)
        fake.supervisorctl("restart", "chat")
        is_done.set()
        assert set(asked.result()) <= {200, 502}, "cut off, or waited; nobody is told that it stays stopped"
    eventually(lambda: fake.state("chat") == "ready" and fake.engine("chat")["pid"] != old)
    assert fake.chat(model="chat").status_code == 200
    assert fake.engine("chat")["crashes"] == 0


def _statuses(fake: Installation, is_done: threading.Event) -> list[int]:
    """Ask one request after the other."""
    statuses = []
    while not is_done.is_set():
        statuses.append(fake.chat(model="chat").status_code)
    return statuses


def test_a_start_by_hand_that_waits_for_room_is_seen_in_the_status(tmp_path: Path) -> None:
    models = [fake_model("slow", env={"FAKE_TOKEN_S": "0.1"}), fake_model("other")]
    with running(Installation(tmp_path, models, {"Slow": "slow", "Other": "other"}, 4.5)) as installation:
        body = {"model": "slow", "messages": [{"role": "user", "content": "x"}], "max_tokens": 40, "stream": True}
        with httpx.stream("POST", f"{installation.url}/v1/chat/completions", json=body, timeout=30) as answer:
            lines = answer.iter_lines()  # kept: httpx closes the response when this is collected
            next(lines)
            installation.supervisorctl("start", "other")
            eventually(lambda: installation.engine("other")["at_gate_s"])
            shown = installation.manage("status").stdout
            assert re.search(r"waits at the gate for \d s: it needs 2\.50 GiB; held on .*slow 2\.50", shown), shown
        eventually(lambda: installation.state("other") == "ready", within_s=20)
        assert installation.engine("other")["at_gate_s"] is None


def test_two_engines_started_by_hand_that_do_not_fit_together_are_not_up_together(fake: Installation) -> None:
    fake.chat(model="chat")
    fake.supervisorctl("start", "medical")
    eventually(lambda: fake.state("medical") == "ready")
    assert fake.state("chat") == "stopped"
