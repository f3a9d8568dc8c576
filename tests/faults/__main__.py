"""`make test-faults`: injects every fault and prints the table of what became of each."""

import sys
from pathlib import Path

import pytest


class Table:
    """Collects one row a fault."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, bool, dict[str, object], float]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        is_row = report.when == "call" or (report.when == "setup" and not report.passed)
        if not is_row or "test_faults.py" not in report.nodeid:
            return
        kind = "real vLLM" if "real_vllm" in report.nodeid else "fake"
        name = report.nodeid.partition("[")[2].rpartition("]")[0]  # behind it stands its group
        self.rows.append((f"{kind:<10} {name}", report.passed, dict(report.user_properties), report.duration))

    def show(self) -> bool:
        """Print the table. Returns whether all survived."""
        print(f"\n{'KIND':<10} {'FAULT':<50} {'SURVIVED':<9} {'TOOK':>6} {'NOTICED':>8}  REQUESTS IN FLIGHT")
        for row, survived, told, took_s in self.rows:
            noticed = f"{told['noticed_s']:.3f} s" if "noticed_s" in told else ""
            end = told.get("requests") or "none"
            print(f"{row:<61} {'yes' if survived else 'NO':<9} {took_s:>4.1f} s {noticed:>8}  {end}")
        noticed = [float(str(told["noticed_s"])) for _, _, told, _ in self.rows if "noticed_s" in told]
        if noticed:
            print(f"kill -9 of a ready engine: noticed within {max(noticed):.3f} s, the slowest of {len(noticed)}")
        survived = sum(row[1] for row in self.rows)
        print(f"faults: {len(self.rows)} survived: {survived}")
        return bool(self.rows) and survived == len(self.rows)


def main(arguments: list[str]) -> int:
    """First the fakes, four houses at once, since they mostly wait; then the two of real vLLM, beside each other."""
    table = Table()
    folder = str(Path(__file__).parent)
    statuses = [
        pytest.main(["-q", folder, "-m", which, *options, *arguments], plugins=[table])
        for which, options in (("not vllm", ["-n", "4"]), ("vllm", ["-n", "2", "--dist", "loadgroup"]))
    ]
    return 0 if table.show() and not any(statuses) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
