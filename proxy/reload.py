"""Has a changed catalog count, without a restart: what will change is told first, and only that is touched.

Rule: all or nothing. The files are read and checked whole, and supervisord knows the new programs, before anything
counts; then all of it counts within one step of the event loop, so that no request meets half of it.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from catalog.diff import Changes, ModelChange, change, changes
from catalog.load import load
from catalog.spec import Catalog
from catalog.yaml_file import CatalogError
from proxy.adapters.launcher import missing_weights
from proxy.adapters.supervisord import SupervisorError
from proxy.assembly import Assembled
from proxy.core import messages
from proxy.core.errors import CatalogInvalid, ReloadFailed, RotaError
from proxy.core.fits import why_too_large
from proxy.core.routing import Router
from proxy.core.states import ABSENT, EngineState
from proxy.entries import Entry, entry_of
from proxy.kept_catalog import KeptCatalog
from proxy.reload_steps import Reload, Rerouted, Step, check_able, how_it_leaves, in_short, route_in_words, then_of
from proxy.reload_text import reload_lines
from proxy.settings import Layout, Settings, check_port

log = logging.getLogger(__name__)


class Reloader:
    """Reads the catalog's folder again when it is told to. `vllm` is the executable for models that name none."""

    def __init__(
        self,
        *,
        here: Layout,
        settings: Settings,
        parts: Assembled,
        router: Router,
        kept: KeptCatalog,
        problem: str | None,
    ) -> None:
        self._here = here
        self._settings = settings
        self._parts = parts
        self._router = router
        self._vllm = here.root / settings.vllm
        self._one_at_a_time = asyncio.Lock()
        self._kept = kept
        self.problem = problem
        """What is wrong with the catalog's folder, where its kept copy is served; for all to see."""

    def __repr__(self) -> str:
        return f"<Reloader of {self._router.catalog.folder}>"

    async def reload(self, *, dry_run: bool = False, force: bool = False) -> Reload:
        """Have the files of now count, or only say what that would change.

        An engine that serves is not given up for an entry that could not run here, unless `force` says so.

        Raises: CatalogInvalid, ReloadFailed; then nothing has changed.
        """
        async with self._one_at_a_time:
            old = self._router.catalog
            try:
                new = await asyncio.to_thread(self._read, old.folder)
            except CatalogError as error:
                raise CatalogInvalid(f"nothing was changed: {error}") from error
            found = changes(old, new)
            entries = {name: await self._entry(new, name) for name in new.models}
            self._check_ports(new)
            told = await self._told(found, new, entries, is_done=not dry_run)
            if dry_run:
                return told
            if not force:
                check_able(told)
            if found:
                try:
                    await self._parts.programs.use(new.models.values())
                except (SupervisorError, OSError) as error:
                    raise ReloadFailed(f"nothing was changed: supervisord has no program for it: {error}") from error
                self._check_ports(new)  # what is up may have changed meanwhile
                self._apply(found, new, entries)
                log.info("the catalog was read again: %s", ", ".join(in_short(told)) or "only what is said of it")
            self.problem = None
            await asyncio.to_thread(self._kept.keep, new)
            return told

    def reload_soon(self) -> None:
        """As SIGHUP asks for it: nobody waits for the answer, so that the log has it."""
        self._parts.fleet.spawn(self._reload_and_say())

    async def _reload_and_say(self) -> None:
        try:
            told = await self.reload()
        except RotaError as error:
            log.warning("%s", error.message)
        else:
            for line in reload_lines(msgspec.to_builtins(told)):
                log.info("reload: %s", line)

    def _read(self, folder: Path) -> Catalog:
        """Raises: CatalogError."""
        catalog = load(folder, self._here.root)
        check_port(self._settings, catalog)
        return catalog

    async def _entry(self, new: Catalog, name: str) -> Entry:
        return await asyncio.to_thread(entry_of, new.models[name], self._parts.devices, self._vllm)

    def _check_ports(self, new: Catalog) -> None:
        """A port is free only once the engine is gone that listens there. Raises: CatalogInvalid."""
        live = self._parts.entries.specs
        present = {view.model for view in self._parts.fleet.view() if view.state not in ABSENT}
        holders = {live[model].port: model for model in present}
        for spec in new.models.values():
            holder = holders.get(spec.port, spec.name)
            if holder != spec.name:
                what = f"{spec.name} takes port {spec.port}, on which {holder} still runs"
                raise CatalogInvalid(f"nothing was changed: {what}: bin/manage_vllm.sh stop {holder}, then reload")

    # --- one step of the event loop -----------------------------------------------------------------------------------

    def _apply(self, found: Changes, new: Catalog, entries: Mapping[str, Entry]) -> None:
        """From here to the end nothing waits."""
        fleet, live = self._parts.fleet, self._parts.entries
        self._router.use(new)
        for model in found.removed:
            fleet.feed(messages.ModelRemoved(model))
        for model, entry in entries.items():
            is_same = model not in live.specs or change(live.specs[model], entry.spec).is_same_launch
            is_same = is_same or not fleet.has(model)
            amounts = self._parts.memory.amounts_of(entry.declared, entry.key)
            needs = entry.needs(amounts, new.agents)
            (live.put if is_same else live.put_next)(entry)
            costs = self._parts.keeper.costs_of(entry.key)
            fleet.feed(messages.ModelSet(model, needs, costs, is_same))

    # --- in words -----------------------------------------------------------------------------------------------------

    async def _told(self, found: Changes, new: Catalog, entries: Mapping[str, Entry], *, is_done: bool) -> Reload:
        states = {view.model: view.state for view in self._parts.fleet.view()}
        warnings = {name: await self._warnings(entries[name]) for name in (*found.added, *_names(found.changed))}
        steps = [Step(model, "new", (), "counts at once", warnings[model]) for model in found.added]
        live = self._parts.entries.specs
        for one in found.changed:
            # What runs decides: a change that is taken back before it counted restarts nothing.
            is_same = change(live[one.model], new.models[one.model]).is_same_launch
            then = "counts at once" if is_same else then_of(states.get(one.model))
            is_up = not is_same and states.get(one.model, EngineState.STOPPED) not in ABSENT
            steps.append(Step(one.model, "changed", one.keys, then, warnings[one.model], is_up))
        steps += [Step(model, "removed", (), how_it_leaves(states.get(model))) for model in found.removed]
        budget = "memory_budget_gib counts after bin/manage_vllm.sh restart-service"
        return Reload(
            catalog=str(new.folder),
            is_done=is_done,
            models=tuple(sorted(steps, key=lambda step: step.model)),
            routes=tuple(
                Rerouted(one.agent_type, route_in_words(one.old), route_in_words(one.new)) for one in found.routes
            ),
            notes=(budget,) if found.budget else (),
        )

    async def _warnings(self, entry: Entry) -> tuple[str, ...]:
        """Why it will not run here, as far as that can be seen now."""
        needs = entry.needs(self._parts.memory.amounts_of(entry.declared, entry.key), self._router.catalog.agents)
        too_large = why_too_large(entry.spec.name, needs, self._parts.fleet.ledger.devices)
        missing = await asyncio.to_thread(missing_weights, entry.spec)
        return tuple(error.message for error in (too_large, missing) if error is not None)


def _names(changed: Iterable[ModelChange]) -> list[str]:
    return [one.model for one in changed]
