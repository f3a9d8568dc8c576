import msgspec
import pytest

from proxy.adapters import readiness
from proxy.adapters.readiness import NotListening, NotReady
from tests.fleet_stage import spec

BRIEFLY = msgspec.structs.replace(spec("a"), start_timeout_s=0.15)


class Engine:
    """Listens at the third look, and is ready at the second question."""

    def __init__(self) -> None:
        self.looks = self.questions = 0

    async def listens(self, port: int) -> bool:
        assert port == 8100
        self.looks += 1
        return self.looks >= 3

    async def check(self, _: object) -> None:
        self.questions += 1
        if self.questions < 2:
            raise NotReady("/health says 503")


async def test_an_engine_is_asked_only_once_it_listens_and_until_it_is_ready() -> None:
    engine = Engine()
    await readiness.wait(spec("a"), engine.listens, engine.check)
    assert (engine.looks, engine.questions) == (4, 2)


async def test_it_gives_up_after_the_start_timeout_and_says_what_was_seen_last() -> None:
    async def never(_: int) -> bool:
        return False

    with pytest.raises(NotListening, match="nobody listens on port 8100"):
        await readiness.wait(BRIEFLY, never, Engine().check)
