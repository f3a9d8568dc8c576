import threading
from pathlib import Path

import pytest

from tests.installation import Installation, eventually, fake_model, running


def test_requests_go_on_while_the_proxy_is_restarted_and_engines_stay(service: Installation) -> None:
    assert service.chat(model="a").status_code == 200
    engine, old = service.engine("a")["pid"], service.status()["proxy"]["pid"]
    statuses: list[int] = []
    is_done = threading.Event()

    def ask() -> None:
        while not is_done.is_set():
            statuses.append(service.chat(model="a").status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        done = service.manage("restart-proxy")
        served = len(statuses)
        eventually(lambda: len(statuses) > served)
    finally:
        is_done.set()
        asking.join(60)
    assert done.returncode == 0, done.stderr
    assert "took over from version" in done.stdout
    assert set(statuses) <= {200, 503}, "one that came while it went may be told so; none was refused a connection"
    assert service.status()["proxy"]["pid"] != old
    assert service.engine("a")["pid"] == engine
    assert not (service.root / "var" / "run" / "hand-over.sock").exists()


def test_what_would_not_come_up_stops_nothing(service: Installation) -> None:
    old = service.status()["proxy"]["pid"]
    text = (service.catalog / "b.yaml").read_text()
    (service.catalog / "b.yaml").write_text("name: b\nport: none\n")
    try:
        done = service.manage("restart-proxy")
    finally:
        (service.catalog / "b.yaml").write_text(text)
    assert done.returncode == 1
    assert "b.yaml:2: port: " in done.stderr
    assert service.status()["proxy"]["pid"] == old


def test_a_proxy_that_was_stopped_by_hand_comes_back_with_it(service: Installation) -> None:
    service.supervisorctl("stop", "proxy")
    done = service.manage("restart-proxy")
    assert done.returncode == 0, done.stderr
    assert "took over" not in done.stdout
    assert service.chat(model="a").status_code == 200


def test_what_its_program_file_says_now_counts(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = Path(tmp_path_factory.mktemp("p"))
    with running(Installation(root, [fake_model("a")], {"Chat": "a"}, 4.5)) as box:
        conf = root / "supervisor.d" / "supervisord.conf"
        conf.write_text(conf.read_text().replace('PYTHONUNBUFFERED="1"', 'PYTHONUNBUFFERED="1",ROTA_NO_SETTING="1"'))
        done = box.manage("restart-proxy")
        assert done.returncode == 1
        assert "ROTA_NO_SETTING" in done.stderr


def test_without_the_service_that_is_said(idle: Installation) -> None:
    done = idle.manage("restart-proxy")
    assert done.returncode == 1
    assert "start-service" in done.stderr
