from tests.installation import Installation


def test_start_and_stop_say_what_became_of_it(service: Installation) -> None:
    done = service.manage("start", "a")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("a: ready after ")
    assert "a      ready" in service.manage("status").stdout
    done = service.manage("stop", "a")
    assert (done.returncode, done.stdout) == (0, "a: stopped\n")


def test_a_start_that_fails_says_why_and_exits_1(service: Installation) -> None:
    done = service.manage("start", "broken")
    assert done.returncode == 1
    assert "Engine core initialization failed" in done.stderr


def test_a_pin_is_set_and_taken_back_and_shown(service: Installation) -> None:
    assert service.manage("pin", "a").stdout == "a: pinned, it makes room for nobody\n"
    assert "    pinned: it makes room for nobody" in service.manage("status").stdout
    assert service.manage("unpin", "a").stdout == "a: not pinned, it makes room for others\n"
    assert "pinned" not in service.manage("status").stdout


def test_a_forced_stop_says_what_became_of_it(service: Installation) -> None:
    assert service.manage("start", "a").returncode == 0
    done = service.manage("stop", "--force", "a")
    assert (done.returncode, done.stdout) == (0, "a: stopped\n")
