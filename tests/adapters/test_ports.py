import socket

from proxy.adapters.ports import listens


async def test_a_port_is_taken_for_listening_when_it_is_and_not_when_it_is_only_bound() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert not await listens(port), "as vLLM has it while it loads"
        bound.listen()
        assert await listens(port)
    assert not await listens(port)
