"""A certificate authority for tests, with ends of validity to the second (openssl ca)."""

import subprocess
import time
from pathlib import Path

CONF = """
[ca]
default_ca = own
[own]
database = {dir}/index
serial = {dir}/serial
new_certs_dir = {dir}
certificate = {dir}/{issuer}.pem
private_key = {dir}/{issuer}.key
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
countryName = optional
localityName = optional
organizationName = optional
commonName = optional
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {san}
{extra}
[issuer]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
"""


def openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("openssl: " + done.stderr)
    return done.stdout


def utc(unix_s):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(unix_s))


class Authority:
    """root -> intermediate -> leaves, in a folder; files are named as their certificate."""

    def __init__(self, folder):
        self.dir = Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self._key("root")
        openssl("req", "-x509", "-key", self.dir / "root.key", "-out", self.dir / "root.pem",
                "-days", "3650", "-subj", "/CN=Test Root", "-addext",
                "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        self._key("intermediate")
        self._sign("intermediate", "/CN=Test Intermediate", "root", "issuer", 3650 * 86400, "DNS:x")

    def _key(self, name, key="ec"):
        how = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else \
            ["-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{key[3:]}"]
        openssl("genpkey", *how, "-out", self.dir / f"{name}.key")

    def _sign(self, name, subject, issuer, kind, seconds, san, extra="", csr=None, begins=-3600):
        d = self.dir
        (d / "index").write_text("")
        if not (d / "serial").exists():
            (d / "serial").write_text("01\n")
        (d / "conf").write_text(CONF.format(dir=d, issuer=issuer, san=san, extra=extra))
        if csr is None:
            csr = d / f"{name}.csr"
            openssl("req", "-new", "-key", d / f"{name}.key", "-subj", subject, "-out", csr)
        now = int(time.time())
        openssl("ca", "-batch", "-notext", "-config", d / "conf", "-in", csr, "-out",
                d / f"{name}.pem", "-startdate", utc(now + begins), "-enddate", utc(now + seconds),
                "-extensions", kind)

    def leaf(self, name, seconds=90 * 86400, key="ec", subject=None, issuer="intermediate",
             names=None, csr=None, extra="", begins=-3600):
        """(certificate with its intermediate, key) as file names."""
        file = name.replace("*", "_")
        if csr is None:
            self._key(file, key)
        san = ",".join("DNS:" + n for n in (names or [name]))
        self._sign(file, subject or f"/CN={name}", issuer, "leaf", seconds, san, extra, csr, begins)
        chain = self.dir / f"{file}.crt"
        text = (self.dir / f"{file}.pem").read_text()
        if issuer == "intermediate":
            text += (self.dir / "intermediate.pem").read_text()
        chain.write_text(text)
        return chain, self.dir / f"{file}.key"

    def not_after(self, name):
        out = openssl("x509", "-in", self.dir / f"{name}.pem", "-noout", "-enddate")
        text = out.strip().split("=", 1)[1]
        return time.mktime(time.strptime(text, "%b %d %H:%M:%S %Y GMT")) - time.timezone

    def der(self, path):
        done = subprocess.run(["openssl", "x509", "-in", path, "-outform", "DER"],
                              capture_output=True, check=True)
        return done.stdout
