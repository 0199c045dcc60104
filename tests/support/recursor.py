"""A resolver as the CA has one: it follows a tenant's CNAME into the zone that posternd answers for."""

import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

from stack import wait_for


class Recursor:
    """BIND: what is not in our zone is asked of the server that stands for the internet."""

    def __init__(self, port, outside, zone, servers):
        self.at, self.zone = ("127.0.0.1", port), zone
        self.dir = Path(tempfile.mkdtemp(prefix="postern-named-"))
        host, outside_port = outside.rsplit(":", 1)
        ours = " ".join(f"{a} port {p};" for a, p in servers)
        (self.dir / "named.conf").write_text(f"""
options {{ directory "{self.dir}"; pid-file none; session-keyfile none; listen-on-v6 {{ none; }};
  listen-on port {port} {{ 127.0.0.1; }}; recursion yes; dnssec-validation no;
  max-ncache-ttl 1; servfail-ttl 0;
  qname-minimization off; forward only; forwarders {{ {host} port {outside_port}; }}; }};
controls {{ }};
zone "{zone}" {{ type forward; forward only; forwarders {{ {ours} }}; }};
""")

    def __enter__(self):
        self.named = subprocess.Popen(["named", "-g", "-c", self.dir / "named.conf"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for("named", self._answers)
        except Exception:
            self.__exit__()
            raise
        return self.at

    def __exit__(self, *_):
        self.named.terminate()
        self.named.wait(20)
        shutil.rmtree(self.dir)

    def _answers(self):
        """Does it get an answer for a name in our zone, without an error?"""
        labels = f"up.{self.zone}".split(".")
        name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.sendto(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + name + b"\0\x10\0\1", self.at)
            return s.recv(1232)[3] & 15 == 0
