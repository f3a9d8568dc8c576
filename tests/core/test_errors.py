import re

import pytest

from proxy.core import errors, key_errors
from proxy.core.errors import RotaError

KINDS = list(
    dict.fromkeys(
        kind
        for module in (errors, key_errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, RotaError)
    )
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_status_a_type_that_fits_it_and_a_code_of_one_word(kind: type[RotaError]) -> None:
    assert 400 <= kind.status < 600
    assert re.fullmatch("[a-z]+(_[a-z]+)*", kind.code)
    if kind.type == "invalid_request_error":
        assert kind.status < 500
    if kind.status >= 500:
        assert kind.type == "server_error"


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in KINDS]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("kind", KINDS)
def test_the_body_is_openais(kind: type[RotaError]) -> None:
    body = kind("what happened", param="model").as_json()
    assert body == {"error": {"message": "what happened", "type": kind.type, "param": "model", "code": kind.code}}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_can_be_told_to_each_waiting_client_with_its_own_time_to_come_back(kind: type[RotaError]) -> None:
    first = kind("x", param="p")
    again = type(first)(first.message, param=first.param, retry_after_s=3.0)
    assert (again.as_json(), again.retry_after_s, first.retry_after_s) == (first.as_json(), 3.0, None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_detail_is_told_to_the_boxs_own_people_only(kind: type[RotaError]) -> None:
    error = kind("x", param="p", detail="in /a/folder").again(3.0)
    assert (error.as_json()["error"]["message"], error.retry_after_s, error.param) == ("x", 3.0, "p")
    assert error.as_json(in_full=True)["error"]["message"] == error.in_full == "x\nin /a/folder"
    assert kind("x").in_full == "x"


def test_param_is_null_where_no_field_is_to_blame() -> None:
    assert errors.ShuttingDown("bye").as_json()["error"]["param"] is None


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.InvalidRequest, 400),
        (errors.ModelTooLarge, 400),
        (errors.ModelNotFound, 404),
        (errors.BodyTooLarge, 413),
        (errors.EngineUnreachable, 502),
        (errors.EngineStartFailed, 503),
        (errors.WaitedTooLong, 503),
    ],
)
def test_clients_may_rely_on_the_status(kind: type[RotaError], status: int) -> None:
    assert kind("x").status == status


def test_the_message_is_what_a_log_shows() -> None:
    assert str(errors.PortTaken("port 8101 is taken")) == "port 8101 is taken"
