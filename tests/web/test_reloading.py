import httpx

from tests.web.test_admin import private

__all__ = ["private"]


async def test_a_reload_is_done_or_only_shown(private: tuple[object, httpx.AsyncClient]) -> None:
    _, client = private
    assert (await client.post("/reload")).json()["is_done"] is True
    assert (await client.post("/reload?dry_run=1")).json()["is_done"] is False


async def test_what_dry_run_may_be_is_said(private: tuple[object, httpx.AsyncClient]) -> None:
    _, client = private
    answer = await client.post("/reload?dry_run=maybe")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "dry_run")
    assert "true (or 1) and false (or 0) are allowed" in answer.json()["error"]["message"]
