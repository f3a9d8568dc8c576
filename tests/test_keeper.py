"""What outlives the proxy: stops and pins by hand, and what acts take."""

from pathlib import Path

from proxy.adapters.state_files import StateFile
from proxy.core import messages
from proxy.core.costs import Costs
from proxy.core.messages import Event
from proxy.keeper import Keeper
from tests.core.world import SlowWorld

KEYS = {"a": "a|0.32.0|x", "b": "b|0.32.0|x"}


class Kept:
    """A world whose keeper keeps in a folder."""

    def __init__(self, folder: Path, keys: dict[str, str] = KEYS) -> None:
        self.world = SlowWorld(a=30, b=30)
        self.keeper = Keeper(
            stops=StateFile(folder / "stops.json", dict[str, str], {}),
            pins=StateFile(folder / "pins.json", dict[str, bool], {}),
            costs=StateFile(folder / "costs.json", dict[str, Costs], {}),
            keys=keys,
        )

    def after(self, seconds: float, event: Event) -> None:
        self.world.after(seconds, event)
        self.keeper.keep(self.world.scheduler)

    def start_a(self) -> None:
        self.after(0, messages.RequestArrived(1, "a"))
        self.after(0, messages.GateAsked("a"))
        self.after(8, messages.GateReached("a"))
        self.after(12, messages.EngineReady("a"))

    def close(self) -> None:
        self.keeper._in_order.shutdown()


def test_what_a_start_took_is_known_in_the_next_life(tmp_path: Path) -> None:
    first = Kept(tmp_path)
    assert first.keeper.remembered() == []
    first.start_a()
    first.close()
    second = Kept(tmp_path)
    [event] = second.keeper.remembered()
    assert isinstance(event, messages.CostsRemembered)
    second.world.feed(event)
    costs = second.world.scheduler.costs("a")
    assert (costs.prepare_s, costs.load_s, costs.last_request_at) == (8.0, 12.0, None)


def test_figures_of_other_flags_or_another_vllm_are_not_this_engines(tmp_path: Path) -> None:
    first = Kept(tmp_path)
    first.start_a()
    first.close()
    assert Kept(tmp_path, {"a": "a|0.33.0|x"}).keeper.remembered() == []


def test_what_is_kept_of_an_earlier_life_is_not_lost_by_the_first_write(tmp_path: Path) -> None:
    first = Kept(tmp_path)
    first.start_a()
    first.close()
    second = Kept(tmp_path, {"b": KEYS["b"], "a": "a|0.33.0|x"})
    second.keeper.remembered()
    second.start_a()
    second.close()
    assert set(StateFile(tmp_path / "costs.json", dict[str, Costs], {}).read()) == {KEYS["a"], "a|0.33.0|x"}


def test_a_stop_by_hand_is_on_the_disk_before_anybody_is_answered(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.after(0, messages.StopAsked("a", "by ann"))
    assert StateFile(tmp_path / "stops.json", dict[str, str], {}).read() == {"a": "by ann"}
    assert Kept(tmp_path).keeper.remembered() == [messages.StopRemembered("a", "by ann")]
    kept.after(0, messages.RequestArrived(1, "a", by_hand="by ann"))
    assert StateFile(tmp_path / "stops.json", dict[str, str], {}).read() == {}


def test_a_corrupt_file_costs_the_estimates_only(tmp_path: Path) -> None:
    (tmp_path / "costs.json").write_text('{"a|0.32.0|x": {"load_s": "long"}}')
    assert Kept(tmp_path).keeper.remembered() == []
    assert (tmp_path / "costs.json.corrupt").exists()


def test_a_pin_by_hand_is_on_the_disk_at_once_and_known_in_the_next_life(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.after(0, messages.PinSet("a", is_pinned=True))
    assert Kept(tmp_path).keeper.remembered() == [messages.PinSet("a", is_pinned=True)]
    assert Kept(tmp_path, {"b": KEYS["b"]}).keeper.remembered() == [], "the model has left the catalog"
    kept.after(0, messages.PinSet("a", is_pinned=False))
    assert Kept(tmp_path).keeper.remembered() == []
