"""What an end-to-end test does with a running system: the CLI, DNS, browsers, explain."""

import hashlib
import http.client
import json
import os
import socket
import ssl
import subprocess

from stack import StackError, wait_for


class Failed(Exception):
    def __init__(self, done):
        super().__init__(f"exit {done.returncode}: {done.stdout}{done.stderr}")
        self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr


class Client:
    def __init__(self, stack):
        self.stack = stack
        self.env = stack.env

    # ---- the platform's side ----

    def cli(self, *args, app=None, check=True):
        env = {**os.environ, "POSTERN_URL": self.env["POSTERN_URL"],
               "POSTERN_TOKEN": self.env["POSTERN_TOKEN"], "HOME": str(self.stack.dir)}
        if app:
            env["POSTERN_APP"] = app
        done = subprocess.run([self.env["POSTERN_CLI"], *map(str, args)], env=env,
                              capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise Failed(done)
        return done.stdout

    def app(self, name, backend=None):
        self.cli("create", name)
        self.cli("upstreams-set", backend or self.env["BACKEND"], app=name)
        return name

    def explain(self, app, domain):
        return json.loads(self.cli("domains-explain", domain, "--json", app=app))["explain"]

    def wait_word(self, app, domain, word, seconds=40):
        def check():
            seen = self.explain(app, domain)
            if seen["word"] != word:
                raise StackError(f"{domain} is {seen['word']}: {seen['reason']}")
            return seen
        return wait_for(f"{domain} {word}", check, seconds)

    def wait_problem(self, app, domain, problem, seconds=40):
        def check():
            seen = self.explain(app, domain)
            if seen["problem"] != problem:
                raise StackError(f"{domain}: {seen['problem']}: {seen['reason']}")
            return seen
        return wait_for(f"{domain} {problem}", check, seconds)

    def add(self, app, domain, point=True, wait=True):
        if point:
            self.point(domain)
        self.cli("domains-add", domain, app=app)
        if wait:
            self.wait_word(app, domain, "In use")
            self.wait_https(domain)

    # ---- the world's side ----

    def point(self, name, *addresses):
        self.stack.point(name, *addresses)

    def leaf(self, name, edge=1):
        """The certificate an edge shows for a name (DER); ssl.SSLError when it refuses."""
        host, port = self.env[f"EDGE_HTTPS_{edge}"].rsplit(":", 1)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            with context.wrap_socket(raw, server_hostname=name) as s:
                return s.getpeercert(binary_form=True)

    def sha256(self, name):
        return hashlib.sha256(self.leaf(name)).hexdigest()

    def https(self, name, path="/", root=None, method="GET", headers=None):
        """(status, headers, body) over HTTPS, verified against the CA's root (or another)."""
        host, port = self.env["EDGE_HTTPS_1"].rsplit(":", 1)
        context = ssl.create_default_context(cafile=root or self.env["CA_ROOT"])
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            with context.wrap_socket(raw, server_hostname=name) as s:
                return self._talk(s, method, name, path, headers)

    def http(self, name, path="/", headers=None):
        host, port = self.env["EDGE_HTTP_1"].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as s:
            return self._talk(s, "GET", name, path, headers)

    def _talk(self, sock, method, name, path, headers):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {name}", "Connection: close"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        answer = http.client.HTTPResponse(sock, method=method)
        answer.begin()
        return answer.status, dict(answer.getheaders()), answer.read()

    def wait_https(self, name, seconds=20):
        def check():
            return self.https(name)[0] == 200
        return wait_for(f"https://{name}/", check, seconds)

    # ---- the CA's side ----

    def orders_at_ca(self):
        """How many newOrder requests Pebble has seen."""
        return self.stack.log("pebble").count("POST /order-plz")
