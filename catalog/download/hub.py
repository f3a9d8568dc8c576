"""Reads repositories of a Hugging Face Hub: what is in them, small files, and large ones that go on where they were.

Rule: what arrived is kept, whatever happens. huggingface_hub finds the address and the token, asks, and says what an
answer means; the bytes are received here, since its own download (2.4.0) begins anew after a kill: it receives into a
file of a random name (`_download_to_tmp_and_move`), and its Xet path into one that hf_xet truncates. Files in Xet
storage come by plain HTTP through the same address, as to every client without hf_xet.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import httpx2
from huggingface_hub import HfApi, constants, get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # it is public, in the lazy way

from catalog.download.hub_errors import EXPECTED, CutOff, HubError, NoFile, Place, trouble_of
from catalog.download.manifest import MANIFEST_FILE, FileRecord

MOST_TRIES = 6
"""How often in a row a file is tried without one more byte: half a minute, with the waits between."""
FIRST_TRIES = 4
"""How often the question is tried that all begins with: who is offline shall be told soon."""
MOST_WAIT_S = 310.0
"""The longest wait that is waited: the hub counts requests over five minutes. Who asks for more is told to the user."""
SEGMENT_BYTES = 32 * 10**9
"""Larger files are asked for in pieces: the hub's CDN gives no file above 50 GB at once (`MAX_HTTP_DOWNLOAD_SIZE`)."""
SMALL_BYTES = 64 * 2**20
"""The most that is read into memory."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All files of a repository at one commit, by path. `is_chosen`: it is a copy that holds just what is wanted."""

    repo: str
    revision: str
    commit: str
    files: dict[str, FileRecord]
    is_chosen: bool = False


class Origin(Protocol):
    """Where repositories are read from: a hub, or a folder of copies."""

    def listing(self, repo: str, revision: str) -> Listing:
        """What is in it. Raises: HubError."""

    def read(self, listing: Listing, path: str, first: int = 0, count: int | None = None) -> bytes:
        """A small file, or a piece of a large one. Raises: HubError."""

    def fetch(self, listing: Listing, path: str, part: Path, moved: Callable[[int], None]) -> None:
        """Bring the file at `path` to `part`, going on from what is there. `moved` is told each change in bytes.

        Raises: HubError; OSError if it cannot be written.
        """

    def takes_room(self, folder: Path) -> bool:
        """Whether files that are brought to `folder` take room there."""


class Hub:
    """A hub at `endpoint` (HF_ENDPOINT, or the public one, if absent).

    `wait` waits so many seconds; `say` is told what is waited for. `timeout_s` is how long nothing may arrive.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        wait: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda _: None,
        timeout_s: float = 30.0,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._wait = wait
        self._say = say
        self._timeout = httpx2.Timeout(timeout_s, connect=min(10.0, timeout_s))
        self._timeout_s = timeout_s
        self._segment_bytes = segment_bytes
        self._api = HfApi(endpoint=self.endpoint)

    def __repr__(self) -> str:
        return f"<Hub {self.endpoint}>"

    def listing(self, repo: str, revision: str) -> Listing:
        """The commit and all files with sizes and hashes, in one answer. Raises: HubError."""
        patience = self._patience(repo, revision, tries=FIRST_TRIES)
        while True:
            try:
                found = self._api.model_info(repo, revision=revision, files_metadata=True, timeout=self._timeout_s)
                break
            except EXPECTED as error:
                patience.after(error)
        files: dict[str, FileRecord] = {}
        for sibling in found.siblings or []:
            content = f"git-sha1:{sibling.blob_id}" if sibling.blob_id else None
            if sibling.lfs is not None:
                content = f"sha256:{sibling.lfs.sha256}"
            if sibling.size is None:
                raise HubError(f"{repo}/{sibling.rfilename}: {self.endpoint} does not say its size: is it a hub?")
            name = sibling.rfilename
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise HubError(f"{repo} has a file '{name}', which leads out of its folder: is {self.endpoint} a hub?")
            if PurePosixPath(name).name == MANIFEST_FILE:
                continue  # it is for Rota alone to write
            files[name] = FileRecord(path=name, size_bytes=sibling.size, hash=content)
        return Listing(repo, revision, found.sha or revision, files)

    def read(self, listing: Listing, path: str, first: int = 0, count: int | None = None) -> bytes:
        """A small file, or `count` bytes of a large one from byte `first` on. Raises: HubError."""
        size = listing.files[path].size_bytes
        last = size if count is None else min(first + count, size)
        if last - first > SMALL_BYTES:
            raise HubError(f"{listing.repo}/{path}: {last - first} bytes are too many for what it should be")
        patience = self._patience(listing.repo, listing.revision, path)
        while True:
            received = bytearray()
            try:
                for chunk in self._stream(listing, path, first, last):
                    received += chunk
                return bytes(received)
            except (*EXPECTED, CutOff, NoFile) as error:
                patience.after(error)

    def fetch(self, listing: Listing, path: str, part: Path, moved: Callable[[int], None]) -> None:
        """As `Origin`'s."""
        size = listing.files[path].size_bytes
        patience = self._patience(listing.repo, listing.revision, path)
        with part.open("ab", buffering=0) as file:
            while (have := file.tell()) != size:
                if have > size:  # not of this file
                    moved(-have)
                    file.truncate(0)
                    file.seek(0)
                    continue
                try:
                    for chunk in self._stream(listing, path, have, min(size, have + self._segment_bytes)):
                        file.write(chunk)
                        moved(len(chunk))
                        patience.rewarded()
                except (*EXPECTED, CutOff, NoFile) as error:
                    patience.after(error)

    def takes_room(self, folder: Path) -> bool:
        """Always."""
        return True

    def _stream(self, listing: Listing, path: str, first: int, last: int) -> Iterator[bytes]:
        """The bytes from `first` to before `last`, as they arrive.

        Raises: CutOff if there are fewer; NoFile for a page of HTML; what httpx2 and huggingface_hub raise.
        """
        url = hf_hub_url(listing.repo, path, revision=listing.commit, endpoint=self.endpoint)
        # Without this the hub compresses some files, and positions in them mean nothing.
        headers = {**_token_headers(), "Accept-Encoding": "identity"}
        if first > 0 or last < listing.files[path].size_bytes:
            headers["Range"] = f"bytes={first}-{last - 1}"
        at = 0
        with get_session().stream("GET", url, headers=headers, timeout=self._timeout) as response:
            hf_raise_for_status(response)
            # The hub itself sends the text of a file as text/plain, a page among the files too.
            if response.headers.get("Content-Type", "").lower().startswith("text/html"):
                raise NoFile
            if response.status_code == httpx2.codes.PARTIAL_CONTENT:
                at = _beginning(response, first)
            for chunk in response.iter_bytes():
                # Where the range was ignored, what is there already comes again, and is passed over.
                wanted = chunk[max(first - at, 0) : last - at]
                at += len(chunk)
                if wanted:
                    yield wanted
                if at >= last:
                    return
        if at < last:
            raise CutOff(f"after {at} of {last} bytes")

    def _patience(self, repo: str, revision: str, path: str | None = None, tries: int = MOST_TRIES) -> "_Patience":
        has_token = "authorization" in _token_headers()
        return _Patience(Place(self.endpoint, repo, revision, path, has_token), tries, self._wait, self._say)


def _token_headers() -> dict[str, str]:
    """The client's headers, with the token where there is one. Raises: HubError if its file cannot be read."""
    try:
        headers: dict[str, str] = build_hf_headers()
    except OSError as error:
        what = f"huggingface_hub's token cannot be read: {error.strerror or error}: {error.filename or 'its file'}"
        raise HubError(f"{what}: set HF_TOKEN, or HF_HOME to a folder that this user may read") from error
    return headers


class _Patience:
    """Tries again what may pass: so often in a row, with longer waits each time, or as long as the hub says."""

    def __init__(self, place: Place, tries: int, wait: Callable[[float], None], say: Callable[[str], None]) -> None:
        self._place = place
        self._tries = tries
        self._wait = wait
        self._say = say
        self._fruitless = 0

    def __repr__(self) -> str:
        return f"<_Patience {self._place}: {self._fruitless} fruitless>"

    def rewarded(self) -> None:
        """Something arrived."""
        self._fruitless = 0

    def after(self, error: Exception) -> None:
        """Wait before the next try. Raises: HubError if there shall be none."""
        trouble = trouble_of(error, self._place)
        self._fruitless += 1
        wait_s = 2.0 ** (self._fruitless - 1) if trouble.retry_after_s is None else trouble.retry_after_s
        if trouble.passes and self._fruitless < self._tries and wait_s <= MOST_WAIT_S:
            self._say(f"{trouble.what}: trying again in {wait_s:.0f} s")
            self._wait(wait_s)
            return
        more = ""
        if trouble.passes:
            more = f" (in {wait_s:.0f} s, it says)" if wait_s > MOST_WAIT_S else f" (tried {self._tries} times)"
        raise HubError(f"{trouble.what}: {trouble.remedy}{more}") from error


def _beginning(response: httpx2.Response, first: int) -> int:
    """Where the piece that was sent begins. Raises: CutOff for one that begins after what was asked for."""
    told = response.headers.get("Content-Range", "")
    begins = told.removeprefix("bytes ").partition("-")[0]
    if not begins.isdigit() or int(begins) > first:
        raise CutOff(f"the answer is of another range: '{told}'")
    return int(begins)
