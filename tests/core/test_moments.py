import pytest

from proxy.core.moments import beginning


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("2026-11-26", "2026-11-26"),
        (" 2026-11-26 ", "2026-11-26"),
        ("2026-11-26T14:30", "2026-11-26T14:30"),
        ("2026-11-26 14:30", "2026-11-26T14:30"),
        ("2026-11-26 14:30:05", "2026-11-26T14:30:05"),
        ("2026-11-26T14:30:05.123Z", "2026-11-26T14:30:05.123"),
    ],
)
def test_a_date_and_a_time_are_taken_with_a_t_or_a_blank(text: str, begins: str) -> None:
    assert beginning(text) == begins


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11",
        "2026-13-01",
        "2026-11-31",
        "26.11.2026",
        "2026-11-26T25:00",
        "2026-11-26T14:30+02:00",
    ],
)
def test_all_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment: a date or a date and a time in UTC is allowed, as 2026-11-26"):
        beginning(text)
