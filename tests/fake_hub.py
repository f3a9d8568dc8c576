"""A Hugging Face Hub on the loopback that the real huggingface_hub downloads from, and that can be told to fail.

    with FakeHub({"owner/name": folder}) as hub:  # a repository is a folder; its branch `main` is what lies there
        hub.misbehave("owner/name/model.safetensors", cut_after=1000, times=1)
        ... download from hub.url ...
        assert hub.sent_bytes("owner/name/model.safetensors") == ...

It speaks: model info (with and without revision, `blobs`), the tree (recursive, paged), paths-info, and HEAD and GET of
files with ETag, X-Repo-Commit, X-Linked-Size and X-Linked-Etag, redirects to a second host for LFS files, ranges, and
the hub's error codes. It keeps count of what it sent and of what it was asked.
"""

import asyncio
import contextlib
import fnmatch
import functools
import hashlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

LFS = (".safetensors", ".bin", ".gguf", ".model", ".h5", ".msgpack", ".onnx", ".pt", ".pth")
CHUNK_BYTES = 2**16


@dataclass
class Fault:
    """What goes wrong at paths like `path`, `times` more times (for ever if None)."""

    path: str
    status: int | None = None
    error_code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut_after: int | None = None
    wrong: bool = False
    ignores_range: bool = False
    no_hub: bool = False
    times: int | None = None


class FakeHub:
    """Serves `repositories` (OWNER/NAME to folder) at `url` while it is entered. `token` opens what is gated."""

    token = "hf_fake"  # noqa: S105  # it opens nothing else

    def __init__(self, repositories: dict[str, Path], *, page: int = 1000) -> None:
        self.repositories = repositories
        self.page = page
        self.url = ""
        self.requests: list[str] = []
        """All that was asked: `METHOD path`, with `bytes=...` where a range was asked for."""
        self.leaked_tokens = 0
        """How often a token came to the host that serves the LFS files, where it has no business."""
        self.stalled = threading.Event()
        """Set when the point of `stall_at` is reached."""
        self._faults: list[Fault] = []
        self._gated: set[str] = set()
        self._sent: Counter[str] = Counter()
        self._stall_at: int | None = None
        self._commits: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __repr__(self) -> str:
        return f"<FakeHub {self.url} {', '.join(self.repositories)}>"

    def misbehave(self, path: str, **what: Any) -> None:
        """Let a `Fault` happen at `path`: OWNER/NAME/FILE, or OWNER/NAME for questions about the repository; with `*`.

        `status` (with `error_code`, `headers`), `delay_s` before the answer, `cut_after` so many bytes of a file,
        `wrong` content of the right size, `ignores_range`, `no_hub` (a page of HTML, as a captive portal has it).
        """
        self._faults.append(Fault(path, **what))

    def behave(self) -> None:
        """Forget all faults and stalls."""
        self._faults.clear()
        self._stall_at = None
        self.stalled.clear()

    def gate(self, repo: str) -> None:
        """Open `repo` to those with the token only."""
        self._gated.add(repo)

    def stall_at(self, sent_bytes: int) -> None:
        """Send nothing more once so many bytes of files were sent in all."""
        self._stall_at = sent_bytes

    def sent_bytes(self, path: str = "*") -> int:
        """How many bytes of the files like `path` (OWNER/NAME/FILE) were sent so far."""
        return sum(count for name, count in self._sent.items() if fnmatch.fnmatch(name, path))

    def commit(self, repo: str) -> str:
        """The commit that `main` is at: it changes with the content."""
        digest = hashlib.sha1(repo.encode(), usedforsecurity=False)
        for name, path in self._files(repo).items():
            digest.update(f"{name} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
        return digest.hexdigest()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stall_at = None
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        api = "/api/models/{owner}/{name}"
        app.router.add_get(api, self._info)
        app.router.add_get(api + "/revision/{revision}", self._info)
        app.router.add_get(api + "/tree/{revision}", self._tree)
        app.router.add_get(api + "/tree/{revision}/{path:.+}", self._tree)
        app.router.add_post(api + "/paths-info/{revision}", self._paths_info)
        app.router.add_get("/{owner}/{name}/resolve/{revision}/{path:.+}", self._resolve)  # and HEAD
        app.router.add_get("/lfs/{owner}/{name}/{path:.+}", self._lfs)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        self.url = f"http://127.0.0.1:{self.port}"

    async def _end(self) -> None:
        await self._runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _files(self, repo: str) -> dict[str, Path]:
        folder = self.repositories[repo]
        return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def _entry(self, name: str, path: Path) -> dict[str, Any]:
        """One file, as the tree has it."""
        size = path.stat().st_size
        if not name.endswith(LFS):
            return {"type": "file", "path": name, "size": size, "oid": git_sha1(path)}
        lfs = {"oid": sha256(path), "size": size, "pointerSize": 134}
        return {"type": "file", "path": name, "size": size, "oid": "0" * 40, "lfs": lfs}

    def _note(self, request: web.Request) -> None:
        self.requests.append(f"{request.method} {request.path} {request.headers.get('Range', '')}".rstrip())

    async def _begin(self, request: web.Request, path: str = "") -> tuple[str, web.Response | None, Fault]:
        """Which repository is asked, what is wrong with the question, and what else shall go wrong."""
        repo = f"{request.match_info['owner']}/{request.match_info['name']}"
        self._note(request)
        fault = self._fault(f"{repo}/{path}" if path else repo)
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.no_hub:
            return repo, web.Response(text="<html>Please sign in</html>", content_type="text/html"), fault
        if fault.status is not None:
            code = {"X-Error-Code": fault.error_code} if fault.error_code else {}
            return repo, web.Response(status=fault.status, headers={**code, **fault.headers}), fault
        if repo not in self.repositories:
            return repo, _error(404, "RepoNotFound", "Repository not found"), fault
        is_known = request.headers.get("Authorization") == f"Bearer {self.token}"
        is_file = bool(path)
        if repo in self._gated and is_file and not is_known:
            has_token = "Authorization" in request.headers
            what = f"Access to model {repo} is restricted. You must have access to it and be authenticated."
            return repo, _error(403 if has_token else 401, "GatedRepo", what), fault
        revision = request.match_info.get("revision", "main")
        if revision not in {"main", self.commit(repo)}:
            return repo, _error(404, "RevisionNotFound", f"Invalid rev id: {revision}"), fault
        return repo, None, fault

    def _fault(self, path: str) -> Fault:
        for fault in self._faults:
            if fnmatch.fnmatch(path, fault.path) and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return Fault(path)

    async def _info(self, request: web.Request) -> web.Response:
        repo, error, _ = await self._begin(request)
        if error is not None:
            return error
        siblings: list[dict[str, Any]] = []
        for name, path in self._files(repo).items():
            entry = self._entry(name, path)
            sizes = {"size": entry["size"], "blobId": entry["oid"]}
            if "lfs" in entry:
                sizes["lfs"] = {"sha256": entry["lfs"]["oid"], "size": entry["size"], "pointerSize": 134}
            siblings.append({"rfilename": name, **(sizes if "blobs" in request.query else {})})
        gated = "auto" if repo in self._gated else False
        told = {"id": repo, "modelId": repo, "sha": self.commit(repo), "private": False, "gated": gated}
        return web.json_response({**told, "siblings": siblings, "tags": [], "downloads": 0})

    async def _tree(self, request: web.Request) -> web.Response:
        repo, error, _ = await self._begin(request)
        if error is not None:
            return error
        below = request.match_info.get("path", "")
        below = below + "/" if below else ""
        files = [(name, path) for name, path in self._files(repo).items() if name.startswith(below)]
        if below and not files:
            return _error(404, "EntryNotFound", f"{below} does not exist")
        entries = [self._entry(name, path) for name, path in files]
        if request.query.get("recursive", "").lower() != "true":
            deeper = {below + entry["path"][len(below) :].split("/")[0] for entry in entries}
            direct = [entry for entry in entries if entry["path"] in deeper]
            folders = sorted(deeper - {entry["path"] for entry in direct})
            entries = [*direct, *({"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in folders)]
        start = int(request.query.get("cursor", "0"))
        response = web.json_response(entries[start : start + self.page])
        if start + self.page < len(entries):
            more = request.url.update_query(cursor=str(start + self.page))
            response.headers["Link"] = f'<{more}>; rel="next"'
        return response

    async def _paths_info(self, request: web.Request) -> web.Response:
        repo, error, _ = await self._begin(request)
        if error is not None:
            return error
        wanted = (await request.post()).getall("paths")
        return web.json_response(
            [self._entry(name, path) for name, path in self._files(repo).items() if name in wanted]
        )

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"]
        repo, error, fault = await self._begin(request, name)
        if error is not None:
            return error
        path = self._files(repo).get(name)
        commit = {"X-Repo-Commit": self.commit(repo)}
        if path is None:
            return _error(404, "EntryNotFound", "Entry not found", commit)
        if name.endswith(LFS):
            there = f"http://localhost:{self.port}/lfs/{repo}/{name}"
            linked = {"X-Linked-Size": str(path.stat().st_size), "X-Linked-Etag": f'"{sha256(path)}"'}
            if request.method == "HEAD" or (fault.cut_after is None and not (fault.wrong or fault.ignores_range)):
                return web.Response(status=302, headers={**commit, **linked, "Location": there})
        return await self._send(request, f"{repo}/{name}", path, fault, {**commit, "ETag": f'"{git_sha1(path)}"'})

    async def _lfs(self, request: web.Request) -> web.StreamResponse:
        repo = f"{request.match_info['owner']}/{request.match_info['name']}"
        self._note(request)
        self.leaked_tokens += "Authorization" in request.headers
        name = request.match_info["path"]
        path = self._files(repo)[name]
        return await self._send(request, f"{repo}/{name}", path, Fault(""), {"ETag": f'"{sha256(path)}"'})

    async def _send(
        self, request: web.Request, name: str, path: Path, fault: Fault, headers: dict[str, str]
    ) -> web.StreamResponse:
        size = path.stat().st_size  # noqa: ASYNC240  # a test's own small file
        asked = None if fault.ignores_range else request.http_range
        first = asked.start or 0 if asked is not None else 0
        last = min(asked.stop or size, size) if asked is not None else size
        if first >= size > 0:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
        is_part = "Range" in request.headers and not fault.ignores_range
        response = web.StreamResponse(status=206 if is_part else 200, headers={"Accept-Ranges": "bytes", **headers})
        response.content_length = last - first
        if is_part:
            response.headers["Content-Range"] = f"bytes {first}-{last - 1}/{size}"
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        if request.transport is not None:
            # Little is under way at any time, so that what was sent is about what arrived.
            request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**18)
            request.transport.set_write_buffer_limits(0)
        sent = 0
        for chunk in _chunks(path, first, last):
            while self._stall_at is not None and self._sent.total() >= self._stall_at:
                self.stalled.set()
                await asyncio.sleep(0.02)
                if _is_gone(request):
                    return response
            part = chunk if fault.cut_after is None else chunk[: fault.cut_after - sent]
            sent += len(part)
            self._sent[name] += len(part)  # before: who has received all may look at once
            with contextlib.suppress(ConnectionError):
                await response.write(bytes(len(part)) if fault.wrong else part)
            if fault.cut_after is not None and sent >= fault.cut_after and request.transport is not None:
                request.transport.close()  # what was written arrives; the rest never does
            if _is_gone(request):
                return response
        return response


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    told = {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}
    return web.json_response({"error": message}, status=status, headers=told)


def _chunks(path: Path, first: int, last: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while (left := last - file.tell()) > 0:
            yield file.read(min(CHUNK_BYTES, left))


def sha256(path: Path) -> str:
    """The hash that the hub gives for an LFS file."""
    return _sha256(path, path.stat().st_mtime_ns)


@functools.cache
def _sha256(path: Path, _: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_sha1(path: Path) -> str:
    """The hash that the hub gives for any other file: git's own of a blob."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
