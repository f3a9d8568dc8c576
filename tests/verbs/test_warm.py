from tests.installation import Installation


def test_models_are_started_one_after_the_other_and_one_that_fails_keeps_no_other(service: Installation) -> None:
    done = service.manage("warm", "broken", "a")
    assert done.returncode == 1
    told = done.stdout.splitlines()
    assert told[0] == "broken (1 of 2): starting"
    assert any("Engine core initialization failed" in line for line in told)
    assert any(line.startswith("a (2 of 2): ready after ") for line in told)
    assert any(line.startswith("    config ") for line in told), told
    done = service.manage("why", "a", "--start")
    assert [line.split()[0] for line in done.stdout.splitlines()][:2] == ["import", "config"]
    assert service.manage("why", "broken", "--start").stdout == "broken: no start of it was seen yet\n"


def test_which_ones_must_be_said(service: Installation) -> None:
    for arguments in ([], ["--all", "a"]):
        done = service.manage("warm", *arguments)
        assert (done.returncode, done.stderr) == (2, "name the models, or say --all\n")
