import pytest

from proxy.core import error_forms
from proxy.core.endpoints import Form
from proxy.core.errors import BodyTooLarge, InvalidRequest, ModelNotFound, QueueFull, RotaError, WaitedTooLong


def test_openais_form_is_the_errors_own() -> None:
    error = InvalidRequest("wrong", param="model")
    assert error_forms.body(error, Form.OPENAI) == error_forms.body(error, Form.RESPONSES) == error.as_json()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("x"), "invalid_request_error"),
        (ModelNotFound("x"), "not_found_error"),
        (BodyTooLarge("x"), "request_too_large"),
        (QueueFull("x"), "rate_limit_error"),
        (WaitedTooLong("x"), "overloaded_error"),
        (RotaError("x"), "api_error"),
    ],
)
def test_anthropics_form_has_its_own_types(error: RotaError, kind: str) -> None:
    assert error_forms.body(error, Form.ANTHROPIC) == {"type": "error", "error": {"type": kind, "message": "x"}}


def test_the_detail_is_for_the_boxs_own_people() -> None:
    error = RotaError("x", detail="/path")
    assert "/path" not in str(error_forms.body(error, Form.ANTHROPIC))
    assert "/path" in str(error_forms.body(error, Form.ANTHROPIC, in_full=True))
