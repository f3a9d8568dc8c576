from unittest.mock import Mock

from aiohttp.test_utils import make_mocked_request

from proxy.core.errors import InvalidRequest, WaitedTooLong
from proxy.core.headers import Incoming
from proxy.traffic import Outcome, Traffic
from proxy.web.middleware import REQUEST_ID
from proxy.web.visit import Visit


async def test_a_refusal_before_the_socket_is_a_status_and_after_it_an_outcome() -> None:
    for status, error, expected in (
        (0, InvalidRequest("x"), (400, Outcome.REFUSED)),
        (101, WaitedTooLong("x"), (101, Outcome.ERROR_AFTER_WAIT)),
    ):
        transport = Mock()
        transport.get_extra_info = lambda name, default=None: default
        request = make_mocked_request("GET", "/v1/realtime", transport=transport)
        request[REQUEST_ID] = "r1"
        visit, traffic = Visit(request, Incoming([])), Traffic()
        visit.status = status
        visit.refused(error)
        visit.end(traffic)
        [key] = traffic._series
        assert key[3:] == expected
