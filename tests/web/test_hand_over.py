import socket
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from proxy.adapters.handed_sockets import Keeper, take
from proxy.web import app as web_app
from proxy.web.hand_over import HandOver
from proxy.web.listening import Listening


class FakeServer:
    def __init__(self, one: socket.socket) -> None:
        self.sockets = (one,)


@pytest.fixture
def hand_over(tmp_path: Path) -> HandOver:
    return HandOver(tmp_path / "k.sock")


async def ask(hand_over: HandOver, path: Path) -> httpx.Response:
    app = web_app._app(1024)
    app.add_routes(hand_over.routes())
    runner = web_app.runner(app)
    await runner.setup()
    await web_app.listen_unix(runner, path)
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        response = await client.post("/hand-over")
    await runner.cleanup()
    return response


async def test_what_is_listened_on_is_given_to_who_keeps_it_and_stays_open(hand_over: HandOver, tmp_path: Path) -> None:
    with socket.socket() as one, Keeper(tmp_path / "k.sock"):
        one.bind(("127.0.0.1", 0))
        hand_over.listening = Listening([FakeServer(one)])  # type: ignore[list-item]
        assert (await ask(hand_over, tmp_path / "g.sock")).json() == {"sockets": 1}
        [kept] = take(tmp_path / "k.sock")
        assert kept.getsockname() == one.getsockname()
        kept.close()


async def test_before_it_listens_there_is_nothing_to_give(hand_over: HandOver, tmp_path: Path) -> None:
    with Keeper(tmp_path / "k.sock"):
        assert (await ask(hand_over, tmp_path / "g.sock")).json() == {"sockets": 0}


async def test_where_nobody_keeps_it_that_is_said(hand_over: HandOver, tmp_path: Path) -> None:
    response = await ask(hand_over, tmp_path / "g.sock")
    assert response.status_code == 400
    assert "nobody keeps sockets at" in response.json()["error"]["message"]
    assert isinstance(hand_over.routes()[0], web.RouteDef)
