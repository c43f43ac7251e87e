"""A fake Hugging Face hub in memory, with the few addresses that uploads and downloads of small files use."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Repositories by name, each a dict of files; every commit is `COMMIT`."""

    def log_message(self, *_):
        pass

    def answer(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, value: object) -> None:
        self.answer(json.dumps(value).encode(), Content_Type="application/json")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        repos, path = self.server.repos, self.path.partition("?")[0]
        self.server.tokens.append(self.headers.get("Authorization"))
        if path == "/api/repos/create":
            made = json.loads(body)
            name = f"{made.get('organization') or 'me'}/{made['name']}"
            repos.setdefault(name, {})
            return self.answer_json({"url": f"{self.server.address}/{name}", "id": name})
        if path == "/api/validate-yaml":
            return self.answer_json({"errors": [], "warnings": []})
        if path.endswith("/preupload/main"):
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            return self.answer_json({"files": files})
        if path.endswith("/commit/main"):
            name = path.removeprefix("/api/models/").removesuffix("/commit/main")
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    repos[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{self.server.address}/{name}/commit/{COMMIT}"
            return self.answer_json({"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""})
        self.answer(b"", 404)

    def do_GET(self):
        path = self.path.partition("?")[0]
        for name, files in self.server.repos.items():
            if path in (f"/api/models/{name}", f"/api/models/{name}/revision/main"):
                siblings = [{"rfilename": file} for file in files]
                return self.answer_json({"id": name, "sha": COMMIT, "siblings": siblings})
            if path == f"/api/models/{name}/tree/{COMMIT}":
                tree = [
                    {"type": "file", "path": f, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}
                    for f, d in files.items()
                ]
                return self.answer_json(tree)
            if path.startswith(f"/{name}/resolve/"):
                data = files[path.rpartition("/")[2]]
                digest = hashlib.sha1(data).hexdigest()
                return self.answer(data, X_Repo_Commit=COMMIT, ETag=f'"{digest}"', X_Linked_Size=str(len(data)))
        self.answer(b"", 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET


@contextmanager
def fake_hub():
    """Run a server on this machine, with its `.address`, its `.repos` and the `.tokens` that it received."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.repos, server.tokens = {}, []
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
