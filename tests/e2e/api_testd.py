"""The API without the rest of the daemon: a program, raw sockets, a small client."""

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from stack import build_dir


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text
        lines = headers and headers.get("Content-Type") == "application/x-ndjson"
        self.json = json.loads(text) if text and not lines else None

    def __repr__(self):
        return f"{self.status} {self.text}"


class Api:
    def __init__(self, *settings):
        self.dir = tempfile.mkdtemp(prefix="postern-api-")
        self.log = open(Path(self.dir) / "log", "w+")
        self.process = subprocess.Popen(
            [build_dir() / "tests" / "api_testd", self.dir, *settings], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.logged())
        told = json.loads(line)
        self.port, self.socket, self.tokens = told["port"], told["socket"], told["tokens"]
        self.url = f"http://127.0.0.1:{self.port}"
        self._sessions = {}

    def logged(self):
        return Path(self.log.name).read_text()

    def close(self):
        """Ends it; its status tells about leaks, too."""
        self.process.stdin.close()
        status = self.process.wait(timeout=20)
        log = self.logged()
        shutil.rmtree(self.dir, ignore_errors=True)
        assert status == 0, log[-4000:]

    def do(self, what, **more):
        self.process.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    # ---- HTTP ----

    def call(self, method, path, body=None, user=None, bearer=None, headers=None, raw_body=None):
        headers = dict(headers or {})
        if user:
            bearer = self.session(user)
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        if body is not None or raw_body is not None:
            headers["Content-Type"] = "application/json"
        data = raw_body if raw_body is not None else None if body is None else json.dumps(body)
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request(method, path, body=data, headers=headers)
        r = c.getresponse()
        answer = Answer(r.status, r.headers, r.read().decode())
        c.close()
        return answer

    def exchange(self, token, user=""):
        basic = base64.b64encode(f"{user}:{token}".encode()).decode()
        return self.call("POST", "/v1/tokens/exchange", {},
                         headers={"Authorization": f"Basic {basic}"})

    def session(self, user):
        if user not in self._sessions:
            self._sessions[user] = self.exchange(self.tokens[user]).json["token"]
        return self._sessions[user]

    def raw(self, data, wait=True, timeout=10):
        """Send bytes as they are; all that comes back until the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            got = b""
            try:
                s.sendall(data if isinstance(data, bytes) else data.encode())
            except (BrokenPipeError, ConnectionResetError):
                pass  # it had enough; what it said comes next
            while wait:
                try:
                    part = s.recv(65536)
                except (ConnectionResetError, socket.timeout):
                    break
                if not part:
                    break
                got += part
            return got

    # ---- the CLI ----

    def cli(self, *args, user="alice", stdin="", env=None, home=None):
        variables = {k: v for k, v in os.environ.items() if not k.startswith("POSTERN_")}
        variables.update({"HOME": str(home or self.dir), "POSTERN_URL": self.url})
        variables.pop("XDG_CONFIG_HOME", None)
        if user:
            variables["POSTERN_TOKEN"] = self.tokens[user]
        variables.update(env or {})
        return subprocess.run([build_dir() / "src" / "postern", *args], env=variables,
                              input=stdin, capture_output=True, text=True, timeout=60)
