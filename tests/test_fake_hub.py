"""The fake hub is verified by the hub's own client: what huggingface_hub does with it, it does with the hub."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.catalog.download.hub_stage import SHARD, files_below, repository
from tests.fake_hub import FakeHub, git_sha1, sha256


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    with FakeHub({"o/m": repository(tmp_path / "m")}, page=3) as one:
        yield one


def test_a_whole_repository_is_downloaded_by_the_hubs_own_client(hub: FakeHub, tmp_path: Path) -> None:
    folder = snapshot_download("o/m", endpoint=hub.url, local_dir=tmp_path / "there", cache_dir=tmp_path / "cache")
    there = {name: text for name, text in files_below(Path(folder)).items() if not name.startswith(".cache")}
    assert there == files_below(hub.repositories["o/m"])


def test_the_tree_comes_in_pages_with_sizes_and_hashes(hub: FakeHub) -> None:
    entries = list(HfApi(endpoint=hub.url).list_repo_tree("o/m", recursive=True))
    folder = hub.repositories["o/m"]
    assert {entry.path for entry in entries} == set(files_below(folder))
    assert sum("/tree/" in request for request in hub.requests) == 3
    shard = next(entry for entry in entries if entry.path == SHARD.format(1))
    assert shard.lfs.sha256 == sha256(folder / SHARD.format(1))  # type: ignore[union-attr]
    [config] = HfApi(endpoint=hub.url).get_paths_info("o/m", ["config.json"], revision="main")
    assert config.blob_id == git_sha1(folder / "config.json")  # type: ignore[union-attr]


def test_the_headers_of_a_file_are_the_hubs(hub: FakeHub) -> None:
    for name in ("config.json", SHARD.format(1)):
        path = hub.repositories["o/m"] / name
        told = get_hf_file_metadata(hf_hub_url("o/m", name, endpoint=hub.url), endpoint=hub.url)
        assert (told.size, told.commit_hash) == (path.stat().st_size, hub.commit("o/m"))
        assert told.etag == (sha256(path) if name.endswith(".safetensors") else git_sha1(path))
        assert told.xet_file_data is None


def test_safetensors_headers_are_read_by_the_hubs_own_client(hub: FakeHub) -> None:
    told = HfApi(endpoint=hub.url).get_safetensors_metadata("o/m")
    assert told.files_metadata[SHARD.format(2)].tensors["w2"].shape == [1500]
    assert told.weight_map["w3"] == SHARD.format(3)


def test_what_is_not_there_has_the_hubs_own_errors(hub: FakeHub, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.url)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("o/n")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("o/m", revision="v2")
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download("o/m", "x.json", endpoint=hub.url, local_dir=tmp_path)
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree("o/m", "folder"))
    hub.gate("o/m")
    assert api.model_info("o/m").gated == "auto"
    with pytest.raises(GatedRepoError):
        hf_hub_download("o/m", "config.json", endpoint=hub.url, local_dir=tmp_path)
    assert hf_hub_download("o/m", "config.json", endpoint=hub.url, local_dir=tmp_path, token=hub.token)


def test_ranges_and_what_is_beyond_the_end(hub: FakeHub) -> None:
    url = f"{hub.url}/o/m/resolve/main/config.json"
    whole = (hub.repositories["o/m"] / "config.json").read_bytes()
    for asked, got in (("bytes=3-5", whole[3:6]), ("bytes=3-", whole[3:]), (f"bytes=0-{len(whole) + 9}", whole)):
        answer = httpx.get(url, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, got)
        assert answer.headers["Content-Range"].endswith(f"/{len(whole)}")
    assert httpx.get(url, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416


def test_faults_happen_as_often_as_they_were_asked_for_and_are_counted_as_sent(hub: FakeHub) -> None:
    url = f"{hub.url}/o/m/resolve/main/config.json"
    hub.misbehave("o/m/*.json", status=503, headers={"Retry-After": "3"}, times=1)
    first = httpx.get(url)
    assert (first.status_code, first.headers["Retry-After"]) == (503, "3")
    hub.misbehave("o/m/config.json", cut_after=10, times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url)
    size = (hub.repositories["o/m"] / "config.json").stat().st_size
    assert httpx.get(url).status_code == 200
    assert hub.sent_bytes("o/m/config.json") == 10 + size
    hub.misbehave("*", wrong=True)
    assert httpx.get(url).content == bytes(size)
    hub.behave()
    assert httpx.get(url).content != bytes(size)
