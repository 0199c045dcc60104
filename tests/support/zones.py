"""Name servers for wildcards: zones that take updates, fakes of providers' APIs."""

import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

from stack import ROOT, free_ports, wait_for

CNAME, TXT = 5, 16
TSIG_NAME, TSIG_SECRET = "acme-key", "YWNtZS1kbnMwMS10ZXN0LXZlY3Rvci1zZWNyZXQtMzI="


def txt(address, name):
    """The TXT values at a name, asked directly; None when there is no answer."""
    found = ask(address, name, TXT)
    return None if found is None else [strings(data) for data in found]


def ask(address, name, kind=1):
    """The data of a name's records of a type (A), asked directly; None: no answer."""
    host, port = address.rsplit(":", 1)
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split("."))
    query = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.sendto(query, (host, int(port)))
        try:
            answer = s.recv(65535)
        except OSError:
            return None
    return [data for _, of, _, _, data in records(answer)[1] if of == kind]


def skip_name(message, at):
    while message[at]:
        if message[at] & 0xc0:
            return at + 2
        at += message[at] + 1
    return at + 1


def strings(data):
    out = b""
    while data:
        out, data = out + data[1:data[0] + 1], data[data[0] + 1:]
    return out.decode()


def records(message):
    """(question, [(name, type, class, ttl, data)]) of an answer; names are written in full."""
    at = skip_name(message, 12) + 4
    question, found = message[12:at], []
    for _ in range(struct.unpack(">H", message[6:8])[0]):
        name, at = whole_name(message, at)
        kind, cls, ttl, size = struct.unpack(">HHIH", message[at:at + 10])
        at += 10
        data = whole_name(message, at)[0] if kind == CNAME else message[at:at + size]
        found.append((name, kind, cls, ttl, data))
        at += size
    return question, found


def whole_name(message, at):
    out, end = b"", None
    while message[at]:
        if message[at] & 0xc0:
            end = end or at + 2
            at = struct.unpack(">H", message[at:at + 2])[0] & 0x3fff
            continue
        out += message[at:at + message[at] + 1]
        at += message[at] + 1
    return out + b"\0", end or at + 1


def dotted(name):
    parts = []
    while name[0]:
        parts.append(name[1:name[0] + 1].decode().lower())
        name = name[name[0] + 1:]
    return ".".join(parts)


class Zones:
    """The resolver of a stack: BIND is asked about `zones`, of which it is the primary and which
    take updates signed with the key above; the addresses of `elsewhere` about the names below its
    names; the stack's own DNS server about all others.  CNAMEs between them are followed."""

    def __init__(self, zones, elsewhere=None):
        self.zones, self.elsewhere = zones, elsewhere or {}

    def __call__(self, stack):
        self.otherwise = stack.env["DNS_ADDR"]
        self._start_bind(stack)
        port = free_ports(1)[0]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.listener = socket.create_server(("127.0.0.1", port))
        for serve in (self._serve, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{port}"

    def _start_bind(self, stack):
        self.port = free_ports(1)[0]
        self.address = f"127.0.0.1:{self.port}"
        d = stack.dir / "bind"
        d.mkdir()
        d.chmod(0o777)
        for zone, records in self.zones.items():
            (d / f"{zone}.zone").write_text(
                f"$ORIGIN {zone}.\n$TTL 0\n@ SOA ns host 1 3600 600 86400 0\n@ NS ns\n"
                f"ns A 127.0.0.1\n{records}\n")
        own = "".join(f'zone "{z}" {{ type primary; file "{z}.zone"; update-policy {{ '
                      f"grant {TSIG_NAME} zonesub ANY; }}; }};\n" for z in self.zones)
        (d / "named.conf").write_text(
            f'options {{ directory "{d}"; listen-on port {self.port} {{ 127.0.0.1; }}; '
            "listen-on-v6 { none; }; recursion no; dnssec-validation no; pid-file none; "
            f'session-keyfile none; managed-keys-directory "{d}"; }};\ncontrols {{ }};\n'
            f'key {TSIG_NAME} {{ algorithm hmac-sha256; secret "{TSIG_SECRET}"; }};\n' + own)
        stack.define("bind", ["/usr/sbin/named", "-f", "-4", "-c", d / "named.conf"])
        stack.start("bind")
        wait_for("BIND", lambda: txt(self.address, next(iter(self.zones))) is not None)

    def _route(self, name):
        for zone in self.zones:
            if f".{name}".endswith(f".{zone}"):
                return self.address
        for zone, address in self.elsewhere.items():
            if f".{name}".endswith(f".{zone}"):
                return address
        return self.otherwise

    def _serve(self):
        while True:
            query, client = self.socket.recvfrom(65535)
            threading.Thread(target=self._answer, args=(query, client), daemon=True).start()

    def _serve_tcp(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._answer_tcp, args=(connection,), daemon=True).start()

    def _answer_tcp(self, connection):
        with connection, connection.makefile("rb") as stream:
            while len(size := stream.read(2)) == 2:
                answer = self._ask(stream.read(struct.unpack(">H", size)[0]), 8)
                if not answer:
                    return
                connection.sendall(struct.pack(">H", len(answer)) + answer)

    def _answer(self, query, client):
        answer = self._ask(query, 8)
        if answer:
            self.socket.sendto(answer, client)

    def _ask(self, query, depth):
        name, end = whole_name(query, 12)
        host, port = self._route(dotted(name)).rsplit(":", 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            s.sendto(query, (host, int(port)))
            try:
                answer = s.recv(65535)
            except OSError:
                return None
        question, found = records(answer)
        last = found[-1] if found else None
        if not last or last[1] != CNAME or depth == 0 or query[end:end + 2] == b"\0\5" or \
                self._route(dotted(last[4])) == self._route(dotted(name)):
            return answer
        more = self._ask(query[:4] + b"\0\1" + bytes(6) + last[4] + query[end:end + 4], depth - 1)
        if not more:
            return None
        found += records(more)[1]
        body = b"".join(n + struct.pack(">HHIH", k, c, t, len(d)) + d for n, k, c, t, d in found)
        flags = struct.pack(">H", 0x8580 | (more[3] & 15))
        return answer[:2] + flags + struct.pack(">4H", 1, len(found), 0, 0) + question + body


class Fake:
    """The fake of a provider's API (tests/dns/fake_dns.py), whose TXT records the world sees:
    they are copied to the DNS server of a stack."""

    def __init__(self, provider):
        script = ROOT / "tests" / "dns" / "fake_dns.py"
        self.process = subprocess.Popen([sys.executable, script, provider], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.ended = threading.Event()
        self.mirrored = {}
        self.lagging = set()  # names whose last values the DNS goes on giving

    def control(self, **what):
        urllib.request.urlopen(f"{self.url}/_control", json.dumps(what).encode()).read()

    def state(self):
        return json.load(urllib.request.urlopen(f"{self.url}/_state"))

    def records(self):
        return {name: [v for v, _ in values] for name, values in self.state()["records"].items()}

    def show(self, stack):
        threading.Thread(target=self._mirror, args=(stack,), daemon=True).start()

    def _mirror(self, stack):
        while not self.ended.wait(0.1):
            try:
                now = self.records()
                for name in self.lagging:
                    now.setdefault(name, self.mirrored.get(name))
                for name in set(now) | set(self.mirrored):
                    if now.get(name) != self.mirrored.get(name):
                        stack.dns("clear-txt", host=name + ".")
                        for value in now.get(name) or []:
                            stack.dns("set-txt", host=name + ".", value=value)
                self.mirrored = now
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.1)

    def stop(self):
        self.ended.set()
        self.process.communicate("")


def has_bind():
    return os.access("/usr/sbin/named", os.X_OK)
