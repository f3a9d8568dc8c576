"""Suggests the name that somebody may have meant. Pure."""

import difflib


def nearest(name: str, names: list[str]) -> str:
    """A suggestion to put behind an error about `name`, or nothing where no name is near."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
