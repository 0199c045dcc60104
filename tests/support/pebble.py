#!/usr/bin/env python3
"""A test CA on loopback: Pebble and pebble-challtestsrv, on ports that the kernel chose.

As a library, for pytest fixtures:

    with ChallTestSrv() as dns, Pebble(dns=dns.dns_address, http_port=edge_port) as ca:
        ... ca.directory_url, ca.ca_file; dns.set_txt("_acme-challenge.x.test.", value) ...

From the command line, to run one program against them (77 = Pebble is not installed, which
Meson counts as skipped):

    pebble.py --nonce-reject 50 -- ./acme_pebble_test

Debian 12 has Pebble 2.4.0.  A newer one is taken from $PEBBLE_BIN or build/tools/bin/pebble, with
its pebble-challtestsrv beside it; what differs between them is dealt with here.
"""

import argparse
import base64
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 20


class NotInstalled(RuntimeError):
    """Pebble or pebble-challtestsrv is not on this machine."""


def find_binary(name):
    """Path of `pebble` or `pebble-challtestsrv`: the newer build if there is one, else Debian's."""
    newer = os.environ.get("PEBBLE_BIN") or str(ROOT / "build" / "tools" / "bin" / "pebble")
    candidate = pathlib.Path(newer).parent / name
    if candidate.exists() and pathlib.Path(newer).exists():
        return str(candidate)
    found = shutil.which(name)
    if not found:
        raise NotInstalled(f"{name} is not installed (Debian package pebble)")
    return found


def flags_of(binary):
    """The names of a Go program's flags."""
    out = subprocess.run([binary, "-help"], capture_output=True, text=True, timeout=20, check=False)
    lines = (out.stdout + out.stderr).splitlines()
    return {line.split()[0].lstrip("-") for line in lines if line.startswith("  -")}


def free_port():
    """A port that is free for TCP and UDP on 127.0.0.1 at this moment."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(
            socket.AF_INET, socket.SOCK_DGRAM
        ) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port on 127.0.0.1")


def _die_with_parent():
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class _Program:
    """A child process with a log file; ends with the test."""

    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder)
        self.log_path = self.folder / f"{name}.log"
        self.process = None

    def _spawn(self, argv, env=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                argv,
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
            )

    def _wait_until(self, probe, what):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                probe()
                return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        log = self.log()
        self.stop()
        raise RuntimeError(f"{what} did not start:\n{log[-2000:]}")

    def log(self):
        """What it has written so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class ChallTestSrv(_Program):
    """pebble-challtestsrv: a DNS server with any answer wanted, and an http-01 server.

    ipv4   what an A query gives for every name not set otherwise ("" for none)
    ipv6   the same for AAAA; Pebble tries it first
    http01 True: answers http-01 on http_port with what add_http01() was given
    """

    def __init__(self, folder=None, ipv4="127.0.0.1", ipv6="", http01=False):
        self._own = tempfile.TemporaryDirectory(prefix="challtestsrv-") if folder is None else None
        super().__init__(folder or self._own.name, "challtestsrv")
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.dns_port = free_port()
        self.http_port = free_port() if http01 else 0
        self.management_port = free_port()
        self.dns_address = f"127.0.0.1:{self.dns_port}"
        self.management_url = f"http://127.0.0.1:{self.management_port}"

    def start(self):
        binary = find_binary("pebble-challtestsrv")
        flags = flags_of(binary)
        argv = [
            binary,
            "-management", f"127.0.0.1:{self.management_port}",
            "-dns01" if "dns01" in flags else "-dnsserver", self.dns_address,
            "-http01", f"127.0.0.1:{self.http_port}" if self.http_port else "",
            "-https01", "",
            "-tlsalpn01", "",
            "-defaultIPv4", self.ipv4,
            "-defaultIPv6", self.ipv6,
        ]
        if "doh" in flags:
            argv += ["-doh", ""]
        self._spawn(argv)
        self._wait_until(lambda: self.call("clear-request-history", host="none"), "challtestsrv")
        return self

    def stop(self):
        super().stop()
        if self._own:
            self._own.cleanup()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def call(self, path, **body):
        """POST a JSON object to the management port; gives the answer's bytes."""
        request = urllib.request.Request(
            f"{self.management_url}/{path}", data=json.dumps(body).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            # The history of a host that nobody asked about is a 400; it answers all the same.
            if path.startswith("clear-request-history"):
                return b""
            raise RuntimeError(f"challtestsrv {path}: {error.code} {error.read()!r}") from error

    # Names end with a dot in all of these.
    def set_txt(self, host, value):
        """Adds a value; others of the host stay."""
        self.call("set-txt", host=host, value=value)

    def clear_txt(self, host):
        self.call("clear-txt", host=host)

    def set_cname(self, host, target):
        self.call("set-cname", host=host, target=target)

    def clear_cname(self, host):
        self.call("clear-cname", host=host)

    def add_a(self, host, *addresses):
        self.call("add-a", host=host, addresses=list(addresses))

    def clear_a(self, host):
        self.call("clear-a", host=host)

    def add_aaaa(self, host, *addresses):
        self.call("add-aaaa", host=host, addresses=list(addresses))

    def clear_aaaa(self, host):
        self.call("clear-aaaa", host=host)

    def add_caa(self, host, *policies):
        """policies: (tag, value)."""
        self.call(
            "add-caa", host=host, policies=[{"tag": tag, "value": value} for tag, value in policies]
        )

    def clear_caa(self, host):
        self.call("clear-caa", host=host)

    def set_servfail(self, host):
        self.call("set-servfail", host=host)

    def clear_servfail(self, host):
        self.call("clear-servfail", host=host)

    def set_default_ipv4(self, address):
        self.call("set-default-ipv4", ip=address)

    def set_default_ipv6(self, address):
        self.call("set-default-ipv6", ip=address)

    def add_http01(self, token, content):
        self.call("add-http01", token=token, content=content)

    def del_http01(self, token):
        self.call("del-http01", token=token)

    def dns_history(self, host):
        return json.loads(self.call("dns-request-history", host=host) or b"null") or []

    def http_history(self, host):
        return json.loads(self.call("http-request-history", host=host) or b"null") or []


class Pebble(_Program):
    """Pebble itself.

    dns            resolver, "127.0.0.1:5353" (ChallTestSrv.dns_address)
    http_port      where http-01 is looked for; tls_port: tls-alpn-01
    nonce_reject   per cent of good nonces that are refused
    sleep_s        most seconds that a validation is put off; 0: not at all
    validity_s     lifetime of certificates; None: Pebble's own
    blocklist      names that are refused with rejectedIdentifier
    authz_reuse    per cent of valid authorizations that are used again
    always_valid   nothing is really validated
    eab            {"kid": "base64url key"}: accounts must be bound to one of these
    retry_after_s  seconds of Retry-After (newer Pebble only)
    """

    def __init__(
        self,
        dns,
        folder=None,
        http_port=None,
        tls_port=None,
        nonce_reject=5,
        sleep_s=0,
        validity_s=None,
        blocklist=(),
        authz_reuse=50,
        always_valid=False,
        alternate_roots=1,
        chain_length=1,
        eab=None,
        retry_after_s=None,
        strict=True,
    ):
        self._own = tempfile.TemporaryDirectory(prefix="pebble-") if folder is None else None
        super().__init__(folder or self._own.name, "pebble")
        self.binary = find_binary("pebble")
        self.flags = flags_of(self.binary)
        self.newer = "version" in self.flags  # 2.10 and later, in practice
        self.dns = dns
        self.http_port = http_port or free_port()
        self.tls_port = tls_port or free_port()
        self.port = free_port()
        self.management_port = free_port()
        self.validity_s = validity_s
        self.blocklist = list(blocklist)
        self.eab = eab
        self.retry_after_s = retry_after_s
        self.strict = strict
        self.environment = {
            "PEBBLE_WFE_NONCEREJECT": str(nonce_reject),
            "PEBBLE_AUTHZREUSE": str(authz_reuse),
            "PEBBLE_ALTERNATE_ROOTS": str(alternate_roots),
            "PEBBLE_CHAIN_LENGTH": str(chain_length),
        }
        if always_valid:
            self.environment["PEBBLE_VA_ALWAYS_VALID"] = "1"
        if sleep_s:
            self.environment["PEBBLE_VA_SLEEPTIME"] = str(sleep_s)
        else:
            self.environment["PEBBLE_VA_NOSLEEP"] = "1"
        # One host name only: Pebble builds its URLs from the Host header.
        self.directory_url = f"https://localhost:{self.port}/dir"
        self.management_url = f"https://127.0.0.1:{self.management_port}"
        self.ca_file = str(self.folder / "api-ca.pem")
        self._context = None

    def _openssl(self, *args):
        subprocess.run(
            ["openssl", *args], cwd=self.folder, check=True, capture_output=True, timeout=30
        )

    def _make_api_certificate(self):
        """Debian ships none: a CA for Pebble's own API, and a certificate from it."""
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl(
            "req", "-x509", *curve, "-keyout", "api-ca.key", "-out", "api-ca.pem", "-days", "30",
            "-subj", "/CN=loopback api CA", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip
        self._openssl(
            "req", *curve, "-keyout", "api.key", "-out", "api.csr", "-subj", "/CN=localhost"
        )
        (self.folder / "ext").write_text(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
        )
        self._openssl(
            "x509", "-req", "-in", "api.csr", "-CA", "api-ca.pem", "-CAkey", "api-ca.key",
            "-CAcreateserial", "-days", "30", "-extfile", "ext", "-out", "api.pem",
        )  # fmt: skip

    def _config(self):
        pebble = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management_port}",
            "certificate": "api.pem",
            "privateKey": "api.key",
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": bool(self.eab),
            "domainBlocklist": self.blocklist,
        }
        if self.eab:
            pebble["externalAccountMACKeys"] = self.eab
        if self.newer:
            # Without a profile in the order a random one is taken: so there is one only.
            pebble["profiles"] = {
                "default": {
                    "description": "the only one",
                    "validityPeriod": self.validity_s or 90 * 86400,
                }
            }
            pebble["caaIdentities"] = ["ca.test"]
            pebble["keyAlgorithm"] = "ecdsa"
            if self.retry_after_s:
                pebble["retryAfter"] = {"authz": self.retry_after_s, "order": self.retry_after_s}
        elif self.validity_s:
            pebble["certificateValidityPeriod"] = self.validity_s
        return {"pebble": pebble}

    def start(self):
        if not (self.folder / "api.pem").exists():
            self._make_api_certificate()
        self._context = ssl.create_default_context(cafile=self.ca_file)
        (self.folder / "pebble.json").write_text(json.dumps(self._config(), indent=1))
        argv = [self.binary, "-config", "pebble.json", "-dnsserver", self.dns]
        if self.strict:
            argv.append("-strict")
        self._spawn(argv, {**os.environ, **self.environment})
        self._wait_until(lambda: self._get(self.directory_url), "pebble")
        return self

    def restart(self):
        """The same addresses, but accounts, orders and the CA's keys are new: it has no memory."""
        _Program.stop(self)
        return self.start()

    def stop(self):
        super().stop()
        if self._own:
            self._own.cleanup()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _get(self, url):
        request = urllib.request.Request(url, headers={"User-Agent": "postern-tests/1"})
        with urllib.request.urlopen(request, timeout=10, context=self._context) as answer:
            return answer.read()

    def directory(self):
        return json.loads(self._get(self.directory_url))

    def root(self, i=0):
        """PEM of the root that the i-th chain ends in."""
        return self._get(f"{self.management_url}/roots/{i}").decode()

    def intermediate(self, i=0):
        return self._get(f"{self.management_url}/intermediates/{i}").decode()

    def certificate_status(self, serial_hex):
        """{"Status": "Valid" or "Revoked", ...} by serial number."""
        return json.loads(
            self._get(f"{self.management_url}/cert-status-by-serial/{serial_hex}")
        )

    def set_renewal_info(self, leaf_pem, answer):
        """Let renewalInfo give this text (newer Pebble only)."""
        request = urllib.request.Request(
            f"{self.management_url}/set-renewal-info/",
            data=json.dumps({"Certificate": leaf_pem, "ARIResponse": answer}).encode(),
            headers={"User-Agent": "postern-tests/1"},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=10, context=self._context).close()


def _arguments():
    parser = argparse.ArgumentParser(description="run a program against Pebble")
    parser.add_argument("--nonce-reject", type=int, default=5)
    parser.add_argument("--validity-s", type=int)
    parser.add_argument("--blocklist", action="append", default=[])
    parser.add_argument("--authz-reuse", type=int, default=50)
    parser.add_argument("--eab-kid")
    parser.add_argument("program", nargs="+")
    return parser.parse_args()


def main():
    args = _arguments()
    eab = {args.eab_kid: base64.urlsafe_b64encode(bytes(range(48))).decode()} if args.eab_kid else None
    try:
        with ChallTestSrv(http01=True) as dns, Pebble(
            dns=dns.dns_address,
            http_port=dns.http_port,
            nonce_reject=args.nonce_reject,
            validity_s=args.validity_s,
            blocklist=args.blocklist,
            authz_reuse=args.authz_reuse,
            alternate_roots=2,
            chain_length=2,
            eab=eab,
        ) as ca:
            environment = {
                **os.environ,
                "PST_PEBBLE_DIRECTORY": ca.directory_url,
                "PST_PEBBLE_CA": ca.ca_file,
                "PST_PEBBLE_NEWER": "1" if ca.newer else "0",
                "PST_CHALLTESTSRV": dns.management_url,
            }
            if eab:
                environment["PST_PEBBLE_EAB_KID"] = args.eab_kid
                environment["PST_PEBBLE_EAB_KEY"] = eab[args.eab_kid]
            return subprocess.run(args.program, env=environment, check=False).returncode
    except NotInstalled as error:
        print(error, file=sys.stderr)
        return 77


if __name__ == "__main__":
    sys.exit(main())
