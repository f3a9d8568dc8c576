from proxy.web.sent import CLOSED, KEPT_OPEN


async def test_aiohttps_server_has_nothing_to_do_and_knows_whether_the_connection_is_kept() -> None:
    for sent, is_kept in ((KEPT_OPEN, True), (CLOSED, False)):
        await sent.prepare(None)  # type: ignore[arg-type]
        await sent.write_eof(b"x")
        assert sent.keep_alive is is_kept
        assert not sent.prepared
