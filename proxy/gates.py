"""The processes that wait at the gate, one of each model: `bin/engine`, before it becomes vLLM."""

import asyncio
from dataclasses import dataclass

from catalog.render import Launch
from proxy.core.errors import RotaError
from proxy.core.methods import Method


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One process's question: may it become an engine? Its answer is a launch, or the error that says why not."""

    pid: int
    answer: "asyncio.Future[Launch]"


@dataclass(frozen=True, slots=True)
class Reached:
    """A process has done all it can without leave: how it goes on with it, and the host memory that it takes."""

    pid: int
    method: Method
    host_bytes: int


class Gates:
    """Who waits now, by model. A newer process of the same model takes the place of the one before."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        self._early: dict[str, Reached] = {}
        """Processes that had done all they can before their question was heard."""

    def __repr__(self) -> str:
        return f"<Gates {', '.join(f'{model}={one.pid}' for model, one in self._asked.items())}>"

    def ask(self, model: str, pid: int) -> Asked:
        """Take the place of `model`."""
        self._asked[model] = Asked(pid, asyncio.get_running_loop().create_future())
        return self._asked[model]

    def reach(self, model: str, reached: Reached) -> bool:
        """A process has done what it can without leave; False if it is not known (yet)."""
        asked = self._asked.get(model)
        if asked is not None and asked.pid == reached.pid:
            return True
        self._early[model] = reached
        return False

    def was_early(self, model: str, pid: int) -> Reached | None:
        """What `pid` said of that before it asked; says so once."""
        early = self._early.pop(model, None)
        return early if early is not None and early.pid == pid else None

    def leave(self, model: str, asked: Asked) -> bool:
        """Give the place up; False if a newer process has it."""
        if self._asked.get(model) is not asked:
            return False
        del self._asked[model]
        return True

    def waiting(self, model: str) -> Asked | None:
        """Who waits for `model`'s gate to open."""
        return self._asked.get(model)

    def answer(self, model: str, answer: Launch | RotaError) -> None:
        """Answer who waits, if anybody does."""
        asked = self._asked.get(model)
        if asked is None or asked.answer.done():
            return
        if isinstance(answer, RotaError):
            asked.answer.set_exception(answer)
        else:
            asked.answer.set_result(answer)

    def answer_all(self, error: RotaError) -> None:
        """Send everybody away."""
        for model in self._asked:
            self.answer(model, error)
