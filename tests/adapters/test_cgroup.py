"""What a container leaves of the host's memory."""

from pathlib import Path

import pytest

from proxy.adapters.cgroup import available_bytes, limit_bytes


class Groups:
    """A tree of groups, in whose `box/unit` this process is."""

    def __init__(self, folder: Path) -> None:
        self.root, self.own = folder / "root", folder / "own"
        (self.root / "box" / "unit").mkdir(parents=True)
        self.own.write_text("4:memory:/elsewhere\n0::/box/unit\n")

    def limit(self, group: str, most: str, current: int = 0, stat: str | None = None) -> None:
        folder = self.root / group
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{current}\n")
        if stat is not None:
            (folder / "memory.stat").write_text(stat)

    @property
    def seen(self) -> tuple[int | None, int | None]:
        return limit_bytes(self.root, self.own), available_bytes(self.root, self.own)


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path)


def test_without_a_limit_there_is_none(groups: Groups) -> None:
    assert groups.seen == (None, None)
    groups.limit("box/unit", "max", 5)
    assert groups.seen == (None, None)
    groups.own.unlink()
    assert groups.seen == (None, None)


def test_what_a_limit_leaves(groups: Groups) -> None:
    groups.limit("box/unit", "1000", 300)
    assert groups.seen == (1000, 700)
    groups.limit("box/unit", "1000", 1200)
    assert groups.seen == (1000, 0)


def test_the_limit_of_a_group_around_it_counts_too(groups: Groups) -> None:
    groups.limit("box/unit", "1000", 300)
    groups.limit("box", "1100", 900)
    assert groups.seen == (1000, 200)


def test_what_the_page_cache_would_give_up_is_available(groups: Groups) -> None:
    groups.limit("box/unit", "1000", 900, "anon 100\ninactive_file 600\nactive_file 100\n")
    assert groups.seen == (1000, 700)
