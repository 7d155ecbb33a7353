"""As much of the Hugging Face Hub as its own library needs to fetch a model and to put one there."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Repositories of files by name: what is asked for is answered from them, and what is uploaded goes there."""

    refuses = False  # what is to be put there

    def __init__(self, repositories: dict[str, dict[str, bytes]]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.uploaded: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(repositories: dict[str, dict[str, bytes]]) -> Iterator[Hub]:
    hub = Hub(repositories)
    Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self.server.uploaded[self.path.rpartition("/")[2]] = self._body()
        self._send(b"")

    def do_POST(self) -> None:
        body, path = self._body(), self.path
        self.server.asked.append(path)
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for each in objects:
                each["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{each['oid']}"}}
            return self._json({"transfer": "basic", "objects": objects})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if self.server.refuses:
            return self._send(b'{"error": "You are not allowed to"}', 403)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            self.server.repositories.setdefault(name, {})
            return self._json({"url": f"{self.server.url}/{name}", "name": name})
        if "/preupload/" in path:
            files = [{"path": each["path"], **_mode(each["path"])} for each in json.loads(body)["files"]]
            return self._json({"files": files})
        if "/commit/" in path:
            return self._commit(path, body)
        return self._send(b"", 404)

    def _commit(self, path: str, body: bytes) -> None:
        name = "/".join(path.split("/")[3:5])
        repository = self.server.repositories[name]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository[value["path"]] = self.server.uploaded[value["oid"]]
        self._json({"commitUrl": f"{self.server.url}/{name}/commit/{SHA}", "commitOid": SHA})

    def _answer(self) -> None:
        self.server.asked.append(self.path)
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._describe("/".join(parts[2:4]), is_tree=parts[4:5] == ["tree"])
        files = self.server.repositories.get("/".join(parts[:2]))
        if files is None or parts[2:3] != ["resolve"] or "/".join(parts[4:]) not in files:
            return self._missing()
        content = files["/".join(parts[4:])]
        return self._send(content, 200, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": SHA})

    def _describe(self, name: str, is_tree: bool) -> None:
        if name not in self.server.repositories:
            return self._missing()
        if is_tree:
            contents = self.server.repositories[name]
            return self._json([_entry(path, content) for path, content in contents.items()])
        files = [{"rfilename": file} for file in self.server.repositories[name]]
        return self._json({"id": name, "modelId": name, "sha": SHA, "siblings": files, "private": False, "tags": []})

    def _missing(self) -> None:
        self._send(b"{}", 404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, content: Any) -> None:
        self._send(json.dumps(content).encode(), 200, {"Content-Type": "application/json"})

    def _send(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _mode(path: str) -> dict[str, Any]:
    large = path.endswith(("safetensors", "png"))
    return {"uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": None}
