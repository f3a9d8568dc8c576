"""A catalog that is changed while it serves, in a whole installation with fake engines."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.installation import Installation, eventually, fake_model, free_port, running


class Editable:
    """An installation whose catalog is edited; each test begins with the models a and b ready, c stopped."""

    def __init__(self, it: Installation, models: list[dict[str, Any]]) -> None:
        self.it = it
        self.models = {model["name"]: model for model in models}

    def edit(self, name: str, **more: Any) -> None:
        (self.it.catalog / f"{name}.yaml").write_text(yaml.safe_dump({**self.models[name], **more}))

    def remove(self, name: str) -> None:
        (self.it.catalog / f"{name}.yaml").unlink()

    def route(self, **routes: str) -> None:
        types = {name: {"model": model} for name, model in routes.items()}
        (self.it.catalog / "agents.yaml").write_text(yaml.safe_dump({"memory_budget_gib": 6, "agent_types": types}))

    def reload(self, *arguments: str) -> str:
        done = self.it.manage("reload", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def act(self, name: str, what: str, ends_as: str) -> None:
        """Over HTTP: a command line for each would take most of the time of these tests."""
        url = f"{self.it.url}/admin/engines/{name}/{what}"
        assert httpx.post(url, timeout=60, trust_env=False).is_success
        eventually(lambda: self.it.state(name) == ends_as, within_s=60)

    def stream(self, model: str, tokens: int) -> "Future[str]":
        """A long answer, read on a thread of its own."""
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": tokens, "stream": True}
        whole: Future[str] = Future()

        def read() -> None:
            try:
                url = f"{self.it.url}/v1/chat/completions"
                whole.set_result(httpx.post(url, json=body, timeout=60, trust_env=False).text)
            except httpx.HTTPError as error:
                whole.set_exception(error)

        threading.Thread(target=read, daemon=True).start()
        return whole

    def served_by(self, model: str) -> list[str]:
        """The command line of `model`'s engine."""
        pid = self.it.engine(model)["pid"]
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editable]:
    models = [fake_model("a"), fake_model("b"), fake_model("c", 1.0)]
    with running(Installation(Path(tmp_path_factory.mktemp("r")), models, {"Chat": "a"}, 6)) as it:
        yield Editable(it, models)


@pytest.fixture
def box(installation: Editable) -> Editable:
    for name in installation.models:
        installation.edit(name)
    installation.route(Chat="a")
    installation.reload()
    for name in installation.models:
        installation.act(name, "stop", "stopped")
    for name in ("a", "b"):
        installation.act(name, "start", "ready")
    return installation


def test_nothing_that_has_changed_is_said(box: Editable) -> None:
    assert box.reload().endswith("catalog/test has not changed\n")


def test_only_the_model_that_changed_restarts_and_no_request_is_lost(box: Editable) -> None:
    box.it.control("a", token_s=0.05)
    before = {name: box.it.engine(name)["pid"] for name in ("a", "b")}
    running_answer = box.stream("a", 100)
    eventually(lambda: box.it.engine("a")["leases"] == 1)
    box.edit("a", max_model_len=1024, port=free_port())
    said = box.reload()
    assert "a                        changed (port, max_model_len): is ready: drains, goes, and starts anew" in said
    assert said.endswith("done\n")
    late = box.stream("a", 2)
    assert box.it.engine("a")["is_outdated"]
    assert running_answer.result(60).count("data: {") >= 100
    assert running_answer.result(60).rstrip().endswith("data: [DONE]")
    assert late.result(60).rstrip().endswith("data: [DONE]")
    assert "1024" in box.served_by("a")
    assert not box.it.engine("a")["is_outdated"]
    assert box.it.engine("b")["pid"] == before["b"]
    assert box.it.engine("a")["pid"] != before["a"]


def test_how_a_model_is_treated_counts_at_once_and_its_engine_goes_on(box: Editable) -> None:
    before = box.it.engine("a")["pid"]
    box.edit("a", aliases=["ay"], priority=3, description="new words")
    assert "a                        changed (description, aliases, priority): counts at once" in box.reload()
    assert box.it.chat(model="ay").status_code == 200
    assert (box.it.engine("a")["pid"], box.it.engine("a")["terms"]["priority"]) == (before, 3)


def test_a_dry_run_changes_nothing_and_says_what_would_not_fit(box: Editable) -> None:
    box.edit("a", memory_gib=99)
    said = box.reload("--dry-run")
    assert "warning: a needs 99.00 GiB, and it fits nowhere" in said
    assert said.endswith("nothing was done: this is what reload would do\n")
    assert box.it.state("a") == "ready"
    told = json.loads(box.reload("--dry-run", "--json"))
    assert [(step["model"], step["what"], step["keys"]) for step in told["models"]] == [
        ("a", "changed", ["memory_gib"])
    ]


def test_an_invalid_catalog_changes_nothing_and_says_where_it_is_wrong(box: Editable) -> None:
    box.edit("b", max_model_len=512)
    (box.it.catalog / "a.yaml").write_text("name: a\nport: none\n")
    done = box.it.manage("reload")
    assert done.returncode == 1
    assert "nothing was changed: " in done.stderr
    assert "a.yaml:2: port: Expected `int`" in done.stderr
    assert (box.it.state("a"), box.it.state("b")) == ("ready", "ready")
    assert box.it.chat(model="Chat").status_code == 200


def test_a_new_model_is_served_without_a_restart_and_a_removed_one_serves_to_its_end(box: Editable) -> None:
    box.it.control("b", token_s=0.05)
    answer = box.stream("b", 20)
    eventually(lambda: box.it.engine("b")["leases"] == 1)
    box.remove("b")
    new = fake_model("d", 1.0)
    (box.it.catalog / "d.yaml").write_text(yaml.safe_dump(new))
    box.route(Chat="a", Fresh="d")
    said = box.reload()
    assert "b                        removed: is ready: serves those who came before, and goes" in said
    assert "d                        new: counts at once" in said
    assert "Fresh                    nothing -> d" in said
    assert box.it.chat(model="b").status_code == 404
    assert box.it.chat(agent_type="Fresh", model="").status_code == 200
    assert answer.result(60).rstrip().endswith("data: [DONE]")
    eventually(lambda: all(engine["model"] != "b" for engine in box.it.status()["engines"]))
    eventually(lambda: "b " not in box.it.supervisorctl("status"))
    assert "d " in box.it.supervisorctl("status")
    (box.it.catalog / "d.yaml").unlink()


def test_agent_types_are_rerouted_at_once(box: Editable) -> None:
    box.route(Chat="b")
    assert "Chat                     a -> b" in box.reload()
    assert box.it.chat(model="Chat").json()["model"] == "b"


def test_a_port_is_not_given_to_another_while_an_engine_listens_there(box: Editable) -> None:
    box.edit("c", port=box.models["a"]["port"])
    box.edit("a", port=free_port())
    done = box.it.manage("reload")
    assert done.returncode == 1
    assert f"c takes port {box.models['a']['port']}, on which a still runs: bin/manage_vllm.sh stop a" in done.stderr


def test_a_hang_up_reads_the_catalog_again_and_the_log_says_what_came_of_it(box: Editable) -> None:
    pid = box.it.status()["proxy"]["pid"]
    box.edit("a", priority=7)
    os.kill(pid, signal.SIGHUP)
    eventually(lambda: box.it.engine("a")["terms"]["priority"] == 7)
    (box.it.catalog / "a.yaml").write_text("nonsense")
    os.kill(pid, signal.SIGHUP)
    eventually(lambda: "nothing was changed: " in box.it.log("proxy"))
    assert box.it.status()["proxy"]["pid"] == pid


def test_a_budget_is_said_to_need_a_restart(box: Editable) -> None:
    types = {"Chat": {"model": "a"}}
    (box.it.catalog / "agents.yaml").write_text(yaml.safe_dump({"memory_budget_gib": 5, "agent_types": types}))
    assert "memory_budget_gib counts after bin/manage_vllm.sh restart-service" in box.reload("-n")


def test_a_proxy_that_comes_back_to_a_changed_entry_replaces_the_engine_that_runs_by_the_old_one(box: Editable) -> None:
    before = {name: box.it.engine(name)["pid"] for name in ("a", "b")}
    box.edit("a", port=free_port(), max_model_len=777)
    box.it.supervisorctl("restart", "proxy")
    eventually(lambda: box.it.manage("status").returncode == 0)
    assert box.it.chat(model="a").status_code == 200
    assert "777" in box.served_by("a")
    assert box.it.engine("a")["pid"] != before["a"]
    assert box.it.engine("b")["pid"] == before["b"]


def test_a_proxy_that_comes_back_to_a_broken_file_serves_the_last_catalog_that_was_sound(box: Editable) -> None:
    before = box.it.engine("a")["pid"]
    (box.it.catalog / "a.yaml").write_text("name: a\nport: none\n")
    box.it.supervisorctl("restart", "proxy")
    eventually(lambda: box.it.manage("status").returncode == 0)
    assert box.it.chat(model="Chat").status_code == 200
    assert box.it.engine("a")["pid"] == before
    assert "a.yaml:2: port: " in box.it.manage("status").stdout
    box.edit("a")
    box.reload()
    assert box.it.status()["proxy"]["catalog_problem"] is None


def test_an_engine_that_serves_is_not_given_up_for_an_entry_that_could_not_run(box: Editable) -> None:
    box.edit("a", memory_gib=99)
    done = box.it.manage("reload")
    assert done.returncode == 1
    assert "a is up, and by its new entry it could not be: a needs 99.00 GiB" in done.stderr
    assert box.it.state("a") == "ready"
    assert box.reload("--force").endswith("done\n")
    assert box.it.chat(model="a").status_code == 400


def test_a_change_that_is_taken_back_before_it_counted_is_told_to_restart_nothing(box: Editable) -> None:
    box.it.control("a", token_s=0.05)
    before = box.it.engine("a")["pid"]
    answer = box.stream("a", 100)
    eventually(lambda: box.it.engine("a")["leases"] == 1)
    box.edit("a", max_num_seqs=3)
    box.reload()
    box.edit("a")
    assert "changed (max_num_seqs): counts at once" in box.reload()
    assert answer.result(60).rstrip().endswith("data: [DONE]")
    assert box.it.engine("a")["pid"] == before


def test_a_removed_model_that_still_serves_can_be_looked_at_and_stopped(box: Editable) -> None:
    box.it.control("b", token_s=0.05)
    answer = box.stream("b", 100)
    eventually(lambda: box.it.engine("b")["leases"] == 1)
    box.remove("b")
    box.reload()
    assert "draining" in box.it.manage("why", "b").stdout or "ready" in box.it.manage("why", "b").stdout
    assert box.it.manage("stop", "b").returncode == 0
    assert answer.result(60).rstrip().endswith("data: [DONE]")
    eventually(lambda: "b " not in box.it.supervisorctl("status"))
