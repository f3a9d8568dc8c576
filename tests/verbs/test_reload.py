from tests.installation import Installation


def test_a_catalog_that_has_not_changed_is_left_alone(service: Installation) -> None:
    done = service.manage("reload")
    assert (done.returncode, "has not changed" in done.stdout) == (0, True)


def test_without_a_service_there_is_nothing_to_reload(idle: Installation) -> None:
    assert idle.manage("reload").returncode == 3
