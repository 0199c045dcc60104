"""nginx with the module and a replica written by hand: no control plane, no postern-edged."""

import hashlib
import hmac
import http.client
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

from stack import ROOT, build_dir, free_ports, wait_for


class Issuer:
    """A CA of its own: one intermediate that signs, known to the replica by a hash."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge test CA")])
        self.cert = self._sign(self.name, self.key.public_key(), [], ca=True)
        self.der = self.cert.public_bytes(serialization.Encoding.DER)
        self.id = hashlib.sha256(self.der).hexdigest()[:16]

    def _sign(self, subject, public, names, ca=False):
        now = datetime.now(timezone.utc)
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
             .public_key(public).serial_number(x509.random_serial_number())
             .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if names:
            b = b.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]),
                                critical=False)
        return b.sign(self.key, hashes.SHA256())

    def leaf(self, key, names):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        return self._sign(subject, key.public_key(), names).public_bytes(
            serialization.Encoding.DER)


def new_key(kind):
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "p384":
        return ec.generate_private_key(ec.SECP384R1())
    if kind == "p521":
        return ec.generate_private_key(ec.SECP521R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def plain_key(kind, key):
    """As a key stands inside a sealed blob."""
    if kind in ("p256", "p384"):
        size = {"p256": 32, "p384": 48}[kind]
        point = key.public_key().public_bytes(serialization.Encoding.X962,
                                              serialization.PublicFormat.UncompressedPoint)
        return key.private_numbers().private_value.to_bytes(size, "big") + point
    form = (serialization.PrivateFormat.TraditionalOpenSSL if kind == "rsa"
            else serialization.PrivateFormat.PKCS8)
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


class Replica:
    """The tool that writes, as a process that answers each line."""

    def __init__(self, folder, local_key, group=None):
        self.local_key = local_key
        self.rev = 0
        self.epoch = "epoch-1"
        self.certs = 0
        self.process = subprocess.Popen(
            [build_dir() / "tests" / "replica_tool", folder] + ([group] if group else []),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise AssertionError(f"{words[:3]}: {answer}")

    def batch(self, *lines, committed_at=None):
        """Each line is a tuple; GEN in it becomes the next revision."""
        self.say("begin")
        for line in lines:
            self.rev += 1
            self.say(*(self.rev if w == "GEN" else w for w in line))
        now = int(time.time()) if committed_at is None else committed_at
        self.say("state", self.epoch, self.rev, "id", now)
        self.say("commit")

    def seal(self, what, plain):
        nonce = os.urandom(12)
        return (b"\x01" + struct.pack("<I", 0) + nonce +
                AESGCM(self.local_key).encrypt(nonce, plain, what.encode())).hex()

    def cert_line(self, issuer, names, kind="p256", key_id=None):
        """A new certificate: its id, its DER, and the line that stores it."""
        self.certs += 1
        number = key_id or self.certs
        key = new_key(kind)
        der = issuer.leaf(key, names)
        sealed = self.seal(f"cert/{number}", plain_key(kind, key))
        return number, der, ("cert", number, "GEN", kind, 0, 4102444800, sealed, der.hex(),
                             issuer.id)

    def ticket_line(self, name, not_before, not_after):
        return ("ticket", name, "GEN", int(not_before), int(not_after),
                self.seal(f"ticket/{name}", os.urandom(80)))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


class Backend:
    """A backend that says its name, counts connections, and echoes WebSocket frames."""

    def __init__(self, name):
        backend = self
        self.name = name
        self.connections = 0
        self.open = []
        self.seen = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                backend.connections += 1
                backend.open.append(self.connection)

            def do_GET(self):
                if self.headers.get("Upgrade") == "websocket":
                    return self.websocket()
                if self.path == "/stream":
                    return self.stream()
                self.answer({"backend": backend.name, "path": self.path,
                             "headers": {k.lower(): v for k, v in self.headers.items()}})

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.answer({"backend": backend.name, "got": len(body)})

            def answer(self, value):
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                if "hsts=" in self.path:
                    self.send_header("strict-Transport-Security", self.path.split("hsts=")[1])
                self.end_headers()
                self.wfile.write(body)

            def stream(self):
                """One chunk, and the other only when the test has seen the first."""
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"5\r\nfirst\r\n")
                self.wfile.flush()
                backend.seen.wait(10)
                self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

            def websocket(self):
                """No real frames: after the 101 whatever comes is sent back."""
                self.send_response(101)
                self.send_header("Upgrade", "websocket")
                self.send_header("Connection", "upgrade")
                self.end_headers()
                self.wfile.flush()
                while True:
                    data = self.connection.recv(1000)
                    if not data:
                        break
                    self.connection.sendall(b"echo:" + data)
                self.close_connection = True

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def drop_connections(self):
        for c in self.open:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open = []

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.drop_connections()


class Edge:
    """One nginx.  `change` may edit the sample configuration's text before it starts."""

    def __init__(self, workers=1, change=None, worker_user=None, start=True):
        self.dir = Path(tempfile.mkdtemp(prefix="postern-edge-"))
        self.dir.chmod(0o755)
        self.run = self.dir / "run"
        self.run.mkdir()
        self.root = self.dir / "replica"
        self.local_key = os.urandom(32)
        self.key_file = self.dir / "local.key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_bytes(self.local_key)
        self.http, self.https = free_ports(2)
        self.issuer = Issuer()
        self.replica = Replica(self.root, self.local_key, group=worker_user)
        self.log = self.dir / "nginx.log"
        self.process = None
        text = (ROOT / "examples" / "nginx.conf").read_text()
        user = f"user {worker_user or 'root'};" if os.geteuid() == 0 else ""
        for key, value in {"MODULE": build_dir() / "nginx" / "ngx_http_postern_module.so",
                           "USER": user, "RUN": self.run, "REPLICA": self.root,
                           "KEY": self.key_file, "HTTP": f"127.0.0.1:{self.http}",
                           "HTTPS": f"127.0.0.1:{self.https}",
                           "HTTPS_PORT": self.https, "HTTP_PORT": self.http}.items():
            text = text.replace(f"@{key}@", str(value))
        text = text.replace("worker_processes auto;", f"worker_processes {workers};")
        text = text.replace("worker_rlimit_nofile 65536;\n", "")
        text = text.replace("worker_connections 16384;", "worker_connections 512;")
        self.conf = self.dir / "nginx.conf"
        self.conf.write_text(change(text) if change else text)
        if start:
            self.start()

    def command(self, *more):
        return ["nginx", "-p", self.run, "-c", self.conf, "-e", "stderr", *more]

    def check(self):
        """nginx -t: its text if it refuses, else None."""
        done = subprocess.run(self.command("-t"), capture_output=True, text=True)
        return done.stderr if done.returncode else None

    def start(self):
        self.process = subprocess.Popen(self.command(), stderr=open(self.log, "ab"))
        wait_for("nginx", lambda: self.process.poll() is None and
                 socket.create_connection(("127.0.0.1", self.https), timeout=1).close() is None)

    def reload(self):
        before = self.workers()
        self.process.send_signal(1)
        wait_for("new workers", lambda: self.workers() and not set(self.workers()) & set(before))

    def workers(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return Path(path).read_text().split()

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=20)
        self.replica.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- as a client ----

    def context(self, version=None):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
        if version:
            c.minimum_version = c.maximum_version = version
        return c

    def connect(self, sni, context=None, session=None):
        raw = socket.create_connection(("127.0.0.1", self.https), timeout=5)
        try:
            return (context or self.context()).wrap_socket(raw, server_hostname=sni,
                                                           session=session)
        except BaseException:
            raw.close()
            raise

    def leaf(self, sni, context=None):
        """The certificate served for SNI (None: no SNI), in DER."""
        with self.connect(sni, context) as s:
            return s.getpeercert(binary_form=True)

    def alert(self, sni, context=None):
        """The reason with which a handshake is refused; fails if it is not."""
        try:
            self.leaf(sni, context)
        except ssl.SSLError as e:
            return e.reason
        raise AssertionError(f"{sni} was served")

    def request(self, sock, host, path="/", method="GET", headers=None, body=None):
        """One request on an open socket: status, headers, body."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
        answer = http.client.HTTPResponse(sock, method=method)
        answer.begin()
        return answer.status, dict(answer.getheaders()), answer.read()

    def get(self, host, path="/", tls=False, **more):
        if tls:
            with self.connect(host) as s:
                return self.request(s, host, path, **more)
        with socket.create_connection(("127.0.0.1", self.http), timeout=5) as s:
            return self.request(s, host, path, **more)

    def metrics(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(self.run / "status.sock"))
            status, _, body = self.request(s, "localhost", "/metrics")
        assert status == 200
        lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
        return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def probe(self, key, host, nonce):
        return hmac.new(key, f"{host}|{nonce}".encode(), "sha256").hexdigest()
