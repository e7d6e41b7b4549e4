"""A stand-in for the interface of Zenodo, on this computer, that can misbehave in chosen ways."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

NUMBER = "10441351"
DOI = f"10.5281/zenodo.{NUMBER}"


class Repository(ThreadingHTTPServer):
    """Serves one record.

    Attributes
    ----------
    files : dict of str to bytes
    break_after : list of int
        Each entry ends one answer with a file after that many bytes.
    ranges : bool
        Whether it sends the rest of a file to those who have its beginning.
    status : int
        Answer to requests for files.
    changes : dict
        Fields of the record that are not as they should be.
    asked : list of str
        Paths and ranges that were asked for.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files, self.asked = files, list[str]()
        self.break_after: list[int] = []
        self.ranges, self.status, self.changes = True, 200, dict[str, object]()
        self.redirect: str | None = None
        self.raw: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def record(self) -> dict[str, object]:
        files = [
            {
                "key": name,
                "size": len(content),
                "checksum": "md5:" + hashlib.md5(content, usedforsecurity=False).hexdigest(),
                "links": {"self": f"{self.url}/api/records/{NUMBER}/files/{name}/content"},
            }
            for name, content in self.files.items()
        ]
        return {"id": int(NUMBER), "metadata": {"title": "Opaque minerals"}, "files": files} | self.changes


class _Answers(BaseHTTPRequestHandler):
    server: Repository
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server, path = self.server, unquote(self.path)
        wanted = self.headers.get("Range", "")
        server.asked.append(f"{path} {wanted}".strip())
        if path == f"/api/records/{NUMBER}":
            self._send(200, server.raw or json.dumps(server.record()).encode())
        elif path.endswith("/content") and path.split("/")[-2] in server.files:
            self._send_file(server.files[path.split("/")[-2]], wanted)
        else:
            self._send(404, b'{"status": 404, "message": "The persistent identifier does not exist."}')

    def _send_file(self, content: bytes, wanted: str) -> None:
        server = self.server
        if server.status != 200:
            self._send(server.status, b"busy")
            return
        if server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges else 0
        headers = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
        end = server.break_after.pop(0) if server.break_after else None
        self._send(206 if begin else 200, content[begin:], headers, end)

    def _send(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, end: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:end])
        if end is not None:
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Be silent."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Repository]:
    server = Repository(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
