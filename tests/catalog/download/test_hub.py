"""The real huggingface_hub client against the fake hub. `waits` are the seconds that would have been waited."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from catalog.download.hub import FIRST_TRIES, MOST_TRIES, Hub, Listing
from catalog.download.hub_errors import HubError
from catalog.download.manifest import MANIFEST_FILE, hash_of
from tests.catalog.download.hub_stage import client, repository
from tests.fake_hub import FakeHub

BIG = "model-00001-of-00003.safetensors"
AT = f"o/m/{BIG}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    with FakeHub({"o/m": repository(tmp_path / "m", shard_bytes=300_000)}) as one:
        yield one


def listing_of(hub: FakeHub) -> Listing:
    return client(hub.url).listing("o/m", "main")


def test_a_listing_has_the_commit_and_every_file_with_size_and_hash(hub: FakeHub) -> None:
    listing = listing_of(hub)
    assert listing.commit == hub.commit("o/m")
    for name, record in listing.files.items():
        path = hub.repositories["o/m"] / name
        assert record.hash is not None
        assert (record.size_bytes, record.hash) == (path.stat().st_size, hash_of(path, record.hash.partition(":")[0]))
    assert str(listing.files[BIG].hash).startswith("sha256:")
    assert str(listing.files["config.json"].hash).startswith("git-sha1:")


def test_a_listing_at_a_commit_is_of_that_commit(hub: FakeHub) -> None:
    assert client(hub.url).listing("o/m", hub.commit("o/m")).commit == hub.commit("o/m")


def test_a_piece_of_a_large_file_is_read_alone(hub: FakeHub) -> None:
    whole = (hub.repositories["o/m"] / BIG).read_bytes()
    assert client(hub.url).read(listing_of(hub), BIG, 1000, 500) == whole[1000:1500]
    assert client(hub.url).read(listing_of(hub), BIG, len(whole) - 5, 500) == whole[-5:]
    assert hub.sent_bytes() == 505


def test_a_connection_that_is_cut_again_and_again_goes_on_while_bytes_come(hub: FakeHub, tmp_path: Path) -> None:
    hub.misbehave(AT, cut_after=30_000, times=2 * MOST_TRIES)
    waits: list[float] = []
    moved: list[int] = []
    client(hub.url, waits).fetch(listing_of(hub), BIG, tmp_path / "part", moved.append)
    whole = (hub.repositories["o/m"] / BIG).read_bytes()
    assert (tmp_path / "part").read_bytes() == whole
    assert sum(moved) == len(whole) == hub.sent_bytes(AT)
    assert set(waits) == {1.0}


def test_a_connection_that_brings_nothing_is_given_up_after_longer_and_longer_waits(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.misbehave(AT, cut_after=1000, times=1)
    hub.misbehave(AT, cut_after=0)
    waits: list[float] = []
    with pytest.raises(HubError, match=rf"{AT}: .* cut the connection .*hub_folder .*\(tried {MOST_TRIES} times\)$"):
        client(hub.url, waits).fetch(listing_of(hub), BIG, tmp_path / "part", lambda _: None)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert (tmp_path / "part").stat().st_size == 1000


def test_a_server_without_ranges_sends_all_again_and_the_file_is_right(hub: FakeHub, tmp_path: Path) -> None:
    whole = (hub.repositories["o/m"] / BIG).read_bytes()
    (tmp_path / "part").write_bytes(whole[:1000])
    hub.misbehave(AT, ignores_range=True)
    moved: list[int] = []
    client(hub.url).fetch(listing_of(hub), BIG, tmp_path / "part", moved.append)
    assert (tmp_path / "part").read_bytes() == whole
    assert sum(moved) == len(whole) - 1000


def test_a_part_that_is_too_long_is_of_another_file(hub: FakeHub, tmp_path: Path) -> None:
    whole = (hub.repositories["o/m"] / BIG).read_bytes()
    (tmp_path / "part").write_bytes(whole + b"more")
    moved: list[int] = []
    client(hub.url).fetch(listing_of(hub), BIG, tmp_path / "part", moved.append)
    assert (tmp_path / "part").read_bytes() == whole
    assert sum(moved) == -4


def test_a_file_that_is_complete_or_empty_is_not_asked_for(hub: FakeHub, tmp_path: Path) -> None:
    (hub.repositories["o/m"] / "empty.txt").touch()
    listing = listing_of(hub)
    (tmp_path / "part").write_bytes((hub.repositories["o/m"] / BIG).read_bytes())
    before = len(hub.requests)
    client(hub.url).fetch(listing, BIG, tmp_path / "part", pytest.fail)
    client(hub.url).fetch(listing, "empty.txt", tmp_path / "empty", pytest.fail)
    assert (tmp_path / "empty").read_bytes() == b""
    assert len(hub.requests) == before


def test_a_file_above_the_most_that_the_hub_sends_at_once_comes_in_pieces(hub: FakeHub, tmp_path: Path) -> None:
    client(hub.url, segment_bytes=100_000).fetch(listing_of(hub), BIG, tmp_path / "part", lambda _: None)
    assert (tmp_path / "part").read_bytes() == (hub.repositories["o/m"] / BIG).read_bytes()
    asked = [request.partition("bytes=")[2] for request in hub.requests if "bytes=" in request and "/lfs/" in request]
    assert asked[:2] == ["0-99999", "100000-199999"]


def test_too_many_requests_are_waited_for_as_long_as_the_hub_says(hub: FakeHub, tmp_path: Path) -> None:
    waits: list[float] = []
    said: list[str] = []
    hub.misbehave("o/m", status=429, headers={"Retry-After": "7"}, times=1)
    hub.misbehave(AT, status=429, headers={"Retry-After": "90"}, times=1)
    origin = client(hub.url, waits, said)
    origin.fetch(origin.listing("o/m", "main"), BIG, tmp_path / "part", lambda _: None)
    assert waits == [7.0, 90.0]
    assert said[0] == f"o/m: {hub.url} asks for fewer requests (429): trying again in 7 s"


def test_who_asks_for_too_long_a_wait_is_told_to_the_user(hub: FakeHub) -> None:
    hub.misbehave("o/m", status=429, headers={"Retry-After": "3600"})
    waits: list[float] = []
    with pytest.raises(HubError, match=r"o/m: .* \(429\): try again later \(in 3600 s, it says\)$"):
        client(hub.url, waits).listing("o/m", "main")
    assert waits == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_hub_in_trouble_is_tried_again(hub: FakeHub, status: int) -> None:
    hub.misbehave("o/m", status=status, times=1)
    waits: list[float] = []
    assert client(hub.url, waits).listing("o/m", "main").files
    assert waits == [1.0]


def test_a_hub_that_does_not_answer_in_time_is_tried_again_and_then_named(hub: FakeHub) -> None:
    hub.misbehave("o/m", delay_s=5)
    waits: list[float] = []
    with pytest.raises(HubError, match=rf"^o/m: {hub.url} answers too slowly .* \(tried {FIRST_TRIES} times\)$"):
        client(hub.url, waits, timeout_s=0.05).listing("o/m", "main")
    assert waits == [1.0, 2.0, 4.0]


def test_what_is_not_there_is_named_with_the_key_to_change(hub: FakeHub, tmp_path: Path) -> None:
    origin = client(hub.url)
    with pytest.raises(HubError, match=r"^there is no repository o/n at http.*\(404\): check source\.repo"):
        origin.listing("o/n", "main")
    with pytest.raises(HubError, match=r"^o/m at http.* has no revision 'v2': check source\.revision"):
        origin.listing("o/m", "v2")
    listing = listing_of(hub)
    hub.misbehave(AT, status=404, error_code="EntryNotFound")
    with pytest.raises(HubError, match=rf"^o/m at http.* has no {BIG} at revision 'main': check source\.path"):
        origin.fetch(listing, BIG, tmp_path / "part", lambda _: None)


def test_a_gated_repository_says_how_to_get_in_and_the_token_opens_it(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gate("o/m")
    listing = listing_of(hub)
    how = rf"^o/m at {hub.url} is gated: accept its licence on {hub.url}/o/m, then set HF_TOKEN .*hf auth login`$"
    with pytest.raises(HubError, match=how):
        client(hub.url).read(listing, "config.json")
    monkeypatch.delenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "hf_of_another")
    with pytest.raises(HubError, match="with the account of the token that was sent, which has not been let in"):
        client(hub.url).read(listing, "config.json")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert client(hub.url).read(listing, "config.json")


def test_the_token_stays_with_the_hub(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    client(hub.url).fetch(listing_of(hub), BIG, tmp_path / "part", lambda _: None)
    assert any("/lfs/" in request for request in hub.requests)
    assert hub.leaked_tokens == 0


def test_a_token_that_may_not_be_read_is_told_with_its_file(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path))  # a folder: that root cannot read as a file, either
    with pytest.raises(HubError, match=rf"token cannot be read: Is a directory: {tmp_path}: set HF_TOKEN, or HF_HOME"):
        client(hub.url).listing("o/m", "main")


def test_what_answers_and_is_no_hub_is_named(hub: FakeHub) -> None:
    hub.misbehave("o/m", no_hub=True)
    with pytest.raises(HubError, match=rf"what answers at {hub.url} is no hub .*: check hub_endpoint"):
        client(hub.url).listing("o/m", "main")


def test_a_hub_that_cannot_be_reached_is_named_with_what_to_do(tmp_path: Path) -> None:
    with FakeHub({}) as gone:
        pass
    waits: list[float] = []
    how = rf"^o/m: cannot reach {gone.url}: .*name a mirror in hub_endpoint, or bring a copy"
    with pytest.raises(HubError, match=how):
        client(gone.url, waits).listing("o/m", "main")
    assert len(waits) == FIRST_TRIES - 1


def test_a_file_that_leads_out_of_its_folder_is_refused(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    files = hub._files("o/m")
    for name in ("../x.json", "/etc/x.json", "a/../../x.json"):
        monkeypatch.setattr(hub, "_files", lambda _, name=name: {name: files["config.json"]})
        with pytest.raises(HubError, match="which leads out of its folder"):
            client(hub.url).listing("o/m", "main")
    monkeypatch.setattr(hub, "_files", lambda _: {MANIFEST_FILE: files["config.json"]})
    assert client(hub.url).listing("o/m", "main").files == {}


def test_a_small_file_that_is_large_is_not_read_into_memory(hub: FakeHub) -> None:
    listing = listing_of(hub)
    with (hub.repositories["o/m"] / "huge.json").open("wb") as file:
        file.truncate(2**27)
    listing = listing_of(hub)
    with pytest.raises(HubError, match=r"o/m/huge\.json: 134217728 bytes are too many"):
        client(hub.url).read(listing, "huge.json")


def test_without_a_setting_the_endpoint_is_that_of_huggingface_hub() -> None:
    assert Hub().endpoint.startswith("http")
    assert repr(Hub("http://mirror/")) == "<Hub http://mirror>"


def test_a_page_of_html_in_the_place_of_a_file_is_told_at_once(hub: FakeHub, tmp_path: Path) -> None:
    listing = listing_of(hub)
    hub.misbehave("o/m/*", no_hub=True)
    waits: list[float] = []
    for name in (BIG, "config.json"):
        with pytest.raises(
            HubError, match=rf"o/m/{name}: .* sent a page of HTML in its place: check hub_endpoint, sign"
        ):
            client(hub.url, waits).fetch(listing, name, tmp_path / name, lambda _: None)
        assert not (tmp_path / name).read_bytes()
    assert waits == []
