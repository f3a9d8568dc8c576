"""Moments as people write them, for comparison with those of the audit, which are ISO 8601 in UTC. Pure."""

import re
from datetime import datetime

ALLOWED = "a date or a date and a time in UTC is allowed, as 2026-11-26, 2026-11-26T14:30 or '2026-11-26 14:30:05'"
_FORM = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)Z?)?", re.ASCII)


def beginning(text: str) -> str:
    """How the moments begin that `text` means: of the whole day, minute or second. Raises: ValueError."""
    found = _FORM.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        date, time = found.groups()
        datetime.fromisoformat(f"{date}T{time.partition('.')[0]}" if time else date)
    except ValueError:
        raise ValueError(f"'{text[:40]}' is no moment: {ALLOWED}") from None
    return f"{date}T{time}" if time else str(date)
