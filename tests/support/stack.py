"""The whole system on loopback: Pebble, its DNS server, posternd, postern-edged, nginx, an app.

scripts/stack is the command line of this module; the end-to-end tests import it.  Each part is a
process of its own with its log in DIR/log; what is needed to stop or restart a part stands in
DIR/stack.json, what users of the stack need in DIR/stack.env.
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGION = "osc-fr1"
PLATFORM_DOMAIN = "platform.test"


class StackError(Exception):
    pass


def free_ports(n):
    """Ports the kernel gave, all held until all are known."""
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def wait_for(what, check, seconds=20):
    """Ask until the answer is true; the answer is returned."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            answer = check()
            if answer:
                return answer
        except (OSError, ValueError, KeyError, StackError) as e:
            last = e
        time.sleep(0.05)
    raise StackError(f"{what}: not within {seconds} s" + (f" ({last})" if last else ""))


def port_open(address):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=1):
        return True


def started_at(pid):
    """When a process began, so that a pid that was given to another one is not mistaken."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    # A process is not gone, nor are its locks, while one of its threads is still on its way out.
    gone = fields[0] == "Z" and len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1
    return None if gone else fields[19]


def tool(name):
    """A newer Pebble that `make deps` built, else Debian's."""
    own = ROOT / "build" / "tools" / "bin" / name
    if os.environ.get("POSTERN_DEBIAN_PEBBLE") != "1" and own.exists():
        return str(own)
    return shutil.which(name) or f"/usr/bin/{name}"


def build_dir():
    if "POSTERN_BUILD" in os.environ:
        return Path(os.environ["POSTERN_BUILD"]).resolve()
    return ROOT / "build" / "release"


class Stack:
    """One stack in one folder.  Call up() once, then the parts can be stopped and started.

    resolver: called with the stack when its DNS server runs; starts another one in front of it and
    gives its address, which Pebble and posternd then ask.
    """

    def __init__(self, folder, db="sqlite", conf=None, pebble_env=None, pebble_conf=None, set_=None,
                 agree=True, resolver=None):
        self.dir = Path(folder).resolve()
        self.db = db
        self.conf = conf
        self.pebble_env = pebble_env or {}
        self.pebble_conf = pebble_conf or {}
        self.set = set_ or {}
        self.agree = agree
        self.resolver = resolver
        self.state = {"parts": {}, "env": {}}

    # ---- state on disk ----

    @classmethod
    def load(cls, folder):
        s = cls(folder)
        try:
            s.state = json.loads((s.dir / "stack.json").read_text())
        except OSError as e:
            raise StackError(f"there is no stack in {s.dir}") from e
        return s

    def save(self):
        tmp = self.dir / "stack.json.new"
        tmp.write_text(json.dumps(self.state, indent=1))
        tmp.rename(self.dir / "stack.json")
        lines = "".join(f"{k}={v}\n" for k, v in self.state["env"].items())
        (self.dir / "stack.env").write_text(lines)

    @property
    def env(self):
        return self.state["env"]

    # ---- parts ----

    def define(self, name, argv, env=None, pid_name=None, user=None):
        self.state["parts"][name] = {"argv": [str(a) for a in argv], "env": env or {},
                                     "pid_name": pid_name, "user": user}

    def start(self, name, env=None):
        part = self.state["parts"][name]
        if self.running(name):
            raise StackError(f"{name} runs already")
        with open(self.dir / "log" / f"{name}.log", "ab") as log:
            p = subprocess.Popen(part["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 cwd=self.dir, env={**os.environ, **part["env"], **(env or {})},
                                 start_new_session=True, user=part["user"])
        part["pid"], part["started"] = p.pid, started_at(p.pid)
        if part["pid_name"]:
            self.env[part["pid_name"]] = p.pid
        self.save()
        return p

    def running(self, name):
        part = self.state["parts"].get(name, {})
        pid = part.get("pid")
        return bool(pid) and part.get("started") is not None and started_at(pid) == part["started"]

    def kill(self, name, sig=signal.SIGKILL):
        if self.running(name):
            os.kill(self.state["parts"][name]["pid"], sig)

    def stop(self, name, sig=signal.SIGTERM, seconds=20):
        if not self.running(name):
            return
        pid = self.state["parts"][name]["pid"]
        os.kill(pid, sig)
        end = time.monotonic() + seconds
        while self.running(name):
            reap(pid)
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                end += 5
            time.sleep(0.02)
        reap(pid)

    def log(self, name):
        return (self.dir / "log" / f"{name}.log").read_text(errors="replace")

    # ---- bringing up ----

    def up(self):
        (self.dir / "log").mkdir(parents=True, exist_ok=True)
        ports = free_ports(8)
        p = dict(zip(("http", "https", "api", "acme", "acme_mgmt", "dns", "dns_mgmt", "app"), ports))
        self.env.update({
            "POSTERN_URL": f"http://127.0.0.1:{p['api']}", "POSTERN_TOKEN": "",
            "POSTERN_CLI": build_dir() / "src" / "postern",
            "PLATFORM_DOMAIN": PLATFORM_DOMAIN, "REGION": REGION, "DB_URL": "",
            "EDGE_HTTP_1": f"127.0.0.1:{p['http']}", "EDGE_HTTPS_1": f"127.0.0.1:{p['https']}",
            "REPLICA_1": self.dir / "edge1" / "replica",
            "CA_DIRECTORY": f"https://localhost:{p['acme']}/dir",
            "CA_ROOT": self.dir / "ca" / "root.pem",
            "CA_MGMT": f"https://localhost:{p['acme_mgmt']}",
            "DNS_ADDR": f"127.0.0.1:{p['dns']}", "DNS_MGMT": f"http://127.0.0.1:{p['dns_mgmt']}",
            "PLATFORM_ROOT": self.dir / "platform-root.pem",
            "BACKEND": f"127.0.0.1:{p['app']}",
        })
        for key, value in list(self.env.items()):
            self.env[key] = str(value)
        try:
            self._up_outside(p)
            self._up_control(p)
            self._up_edge(p)
        except Exception:
            self.save()
            self.down()
            raise

    def _up_outside(self, p):
        self._ca_files()
        self._dns(p)
        if self.resolver:
            self.env["DNS_ADDR"] = self.resolver(self)
        self._pebble(p)
        self.define("app", [sys.executable, ROOT / "examples" / "app.py", self.env["BACKEND"]])
        self.start("app")
        wait_for("the app", lambda: port_open(self.env["BACKEND"]))

    def _ca_files(self):
        """A CA for Pebble's own API, which the Debian package does not bring."""
        d = self.dir / "ca"
        d.mkdir(exist_ok=True)
        ext = d / "ext"
        ext.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *ec, "-keyout", d / "api-ca.key", "-out", d / "api-ca.pem",
                "-days", "30", "-subj", "/CN=loopback API CA",
                "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign")
        openssl("req", *ec, "-keyout", d / "api.key", "-out", d / "api.csr", "-subj",
                "/CN=localhost")
        openssl("x509", "-req", "-in", d / "api.csr", "-CA", d / "api-ca.pem", "-CAkey",
                d / "api-ca.key", "-CAcreateserial", "-days", "30", "-extfile", ext, "-out",
                d / "api.pem")

    def _dns(self, p):
        binary = tool("pebble-challtestsrv")
        flags = subprocess.run([binary, "-help"], capture_output=True, text=True).stderr
        dns_flag = "-dnsserver" if "-dnsserver" in flags else "-dns01"
        argv = [binary, "-management", f"127.0.0.1:{p['dns_mgmt']}", "-http01", "", "-https01", "",
                "-tlsalpn01", "", dns_flag, self.env["DNS_ADDR"], "-defaultIPv4", "",
                "-defaultIPv6", ""]
        if "-doh " in flags:
            argv += ["-doh", ""]
        self.define("dns", argv)
        self.start("dns")
        wait_for("the DNS server", lambda: port_open(f"127.0.0.1:{p['dns_mgmt']}"))

    def _pebble(self, p):
        binary = tool("pebble")
        newer = "-version" in subprocess.run([binary, "-help"], capture_output=True,
                                             text=True).stderr
        conf = {"listenAddress": f"127.0.0.1:{p['acme']}",
                "managementListenAddress": f"127.0.0.1:{p['acme_mgmt']}",
                "certificate": str(self.dir / "ca" / "api.pem"),
                "privateKey": str(self.dir / "ca" / "api.key"),
                "httpPort": p["http"], "tlsPort": p["https"], "ocspResponderURL": "",
                "externalAccountBindingRequired": False, "domainBlocklist": ["blocked.test"]}
        extra = dict(self.pebble_conf)
        validity = extra.pop("validity", None)
        if newer:
            conf["keyAlgorithm"] = "ecdsa"
            conf["profiles"] = {"default": {"description": "one profile",
                                            "validityPeriod": validity or 90 * 86400}}
        else:
            conf["certificateValidityPeriod"] = validity or 90 * 86400
        conf.update(extra)
        (self.dir / "pebble.json").write_text(json.dumps({"pebble": conf}))
        env = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_CHAIN_LENGTH": "2",
               "PEBBLE_AUTHZREUSE": "0", **self.pebble_env}
        self.define("pebble", [binary, "-config", self.dir / "pebble.json", "-dnsserver",
                               self.env["DNS_ADDR"]], env=env)
        self.start_pebble()

    def start_pebble(self):
        """Also makes the new root known: Pebble has another one each time."""
        self.start("pebble")
        url = self.env["CA_MGMT"] + "/roots/0"
        root = wait_for("Pebble", lambda: self.get(url))
        Path(self.env["CA_ROOT"]).write_bytes(root)

    def _up_control(self, p):
        self.env["DB_URL"] = self.database()
        (self.dir / "postern.conf").write_text(self._conf(p))
        posternd = build_dir() / "src" / "posternd"
        base = [posternd, "--config", self.dir / "postern.conf"]
        init = ["init", "--contact", "ops@platform.test"] + ["--agree-terms"] * self.agree
        done = subprocess.run([str(a) for a in base] + init, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        if done.returncode:
            raise StackError(f"posternd init: {done.stderr}")
        self.env["POSTERN_TOKEN"] = done.stdout.strip()
        root = subprocess.run([str(a) for a in base] + ["root"], capture_output=True, text=True)
        if root.returncode:
            raise StackError(f"posternd root: {root.stderr}")
        Path(self.env["PLATFORM_ROOT"]).write_text(root.stdout)
        self.define("posternd", base, pid_name="POSTERND_PID_1")
        self.start("posternd")
        self.wait_api()

    def wait_api(self, seconds=30):
        def healthy():
            if not self.running("posternd"):
                raise StackError("posternd ended: " + self.log("posternd")[-2000:])
            return self.get(self.env["POSTERN_URL"] + "/v1/health")
        return wait_for("posternd", healthy, seconds)

    def _conf(self, p):
        settings = {
            "database.url": self.env["DB_URL"],
            "keys.master_file": self.dir / "master.key",
            "api.listen": f"127.0.0.1:{p['api']}, unix:{self.dir}/posternd.sock",
            "platform.domain": PLATFORM_DOMAIN, "platform.region": REGION,
            "edge.addresses": "127.0.0.1", "edge.cname": f"edge.{PLATFORM_DOMAIN}",
            "edge.public_http_port": p["http"], "edge.public_https_port": p["https"],
            "acme.directory": self.env["CA_DIRECTORY"],
            "acme.ca_file": self.dir / "ca" / "api-ca.pem",
            "acme.poll_first_ms": 50,
            "dns.resolver": self.env["DNS_ADDR"],
            "names.any_tld": "true", "gate.allow": "127.0.0.0/8",
            "log.level": "debug",
            **self.set,
        }
        text = "".join(f"{k} = {v}\n" for k, v in settings.items())
        return text + (Path(self.conf).read_text() if self.conf else "")

    def database(self):
        if self.db == "sqlite":
            return f"sqlite:{self.dir}/postern.db"
        return self._postgresql()

    def _postgresql(self):
        """A cluster of its own on a Unix socket; initdb refuses to run as root."""
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not versions:
            raise StackError("PostgreSQL is not installed (make deps)")
        bindir = versions[-1].parent
        data = self.dir / "postgresql"
        data.mkdir()
        user = None
        if os.geteuid() == 0:
            user = "postgres"
            account = pwd.getpwnam(user)
            os.chown(data, account.pw_uid, account.pw_gid)
            for parent in [self.dir, *self.dir.parents]:
                if not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        subprocess.run([bindir / "initdb", "-D", data / "db", "-A", "trust", "-U", "postern",
                        "--locale=C", "-E", "UTF8"], check=True, capture_output=True, user=user,
                       cwd="/")
        port = free_ports(1)[0]
        self.define("postgresql", [bindir / "postgres", "-D", data / "db", "-k", data, "-p", port,
                                   "-c", "listen_addresses=127.0.0.1"], user=user)
        self.start("postgresql")
        dsn = f"postgresql://postern@127.0.0.1:{port}/postgres"
        wait_for("PostgreSQL", lambda: subprocess.run(
            ["psql", "-qAt", dsn, "-c", "select 1"], capture_output=True).returncode == 0)
        subprocess.run(["psql", "-q", dsn, "-c", "CREATE DATABASE postern"], check=True)
        return f"postgresql://postern@127.0.0.1:{port}/postern"

    def _up_edge(self, p):
        d = self.dir / "edge1"
        for sub in ("keys", "nginx"):
            (d / sub).mkdir(parents=True, exist_ok=True)
        (d / "keys").chmod(0o700)
        token = self.call("POST", "/v1/edges/enrol-tokens", {})["enrol_token"]["token"]
        (d / "enrol.token").touch(mode=0o600)
        (d / "enrol.token").write_text(token)
        conf = {"control.url": f"unix:{self.dir}/posternd.sock",
                "control.token_file": d / "enrol.token", "edge.name": "edge1",
                "edge.probe_address": self.env["EDGE_HTTPS_1"],
                "replica.dir": d / "replica", "replica.map_size": "1G", "keys.dir": d / "keys"}
        (d / "postern-edged.conf").write_text("".join(f"{k} = {v}\n" for k, v in conf.items()))
        self.define("edged1", [build_dir() / "src" / "postern-edged", "--config",
                               d / "postern-edged.conf"], pid_name="EDGED_PID_1")
        self.start("edged1")
        wait_for("the replica", lambda: (d / "replica").exists() and
                 any((d / "replica").glob("**/current")) and (d / "keys" / "local.key").exists())
        (d / "nginx.conf").write_text(self._nginx_conf(d, p))
        self.define("nginx1", ["nginx", "-p", d / "nginx", "-c", d / "nginx.conf", "-e", "stderr"],
                    pid_name="EDGE_PID_1")
        self.start("nginx1")
        wait_for("nginx", lambda: port_open(self.env["EDGE_HTTPS_1"]))
        wait_for("the edge to be live", self._edge_live)
        self.save()

    def _edge_live(self):
        edges = self.call("GET", "/v1/edges")["edges"]
        return edges and all(e.get("live") for e in edges)

    def _nginx_conf(self, d, p):
        sample = (ROOT / "examples" / "nginx.conf").read_text()
        values = {"MODULE": build_dir() / "nginx" / "ngx_http_postern_module.so",
                  "RUN": d / "nginx", "REPLICA": d / "replica",
                  "KEY": d / "keys" / "local.key", "HTTP": self.env["EDGE_HTTP_1"],
                  "HTTPS": self.env["EDGE_HTTPS_1"], "HTTPS_PORT": p["https"],
                  "HTTP_PORT": p["http"],
                  "USER": "user root;" if os.geteuid() == 0 else ""}
        for key, value in values.items():
            sample = sample.replace(f"@{key}@", str(value))
        return sample

    # ---- talking to it ----

    def get(self, url):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=context))
        with opener.open(url, timeout=5) as answer:
            return answer.read()

    def post_json(self, url, body, headers=None, method="POST"):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers={
            "Content-Type": "application/json", **(headers or {})})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=35) as answer:
            text = answer.read()
        return json.loads(text) if text.strip().startswith((b"{", b"[")) else {}

    def bearer(self):
        import base64
        basic = base64.b64encode(f":{self.env['POSTERN_TOKEN']}".encode()).decode()
        return self.post_json(self.env["POSTERN_URL"] + "/v1/tokens/exchange", {},
                              {"Authorization": f"Basic {basic}"})["token"]

    def call(self, method, path, body=None):
        """An API call as the operator; raises urllib.error.HTTPError on a refusal."""
        return self.post_json(self.env["POSTERN_URL"] + path, body,
                              {"Authorization": f"Bearer {self.bearer()}"}, method)

    def sql(self, text):
        """The lines that the database answers, columns separated by "|"."""
        url = self.env["DB_URL"]
        if url.startswith("sqlite:"):
            with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:"), 10)) as db, db:
                return ["|".join(map(str, row)) for row in db.execute(text)]
        return subprocess.run(["psql", "-qAt", url, "-c", text], check=True, capture_output=True,
                              text=True).stdout.splitlines()

    def dns(self, verb, **body):
        """The DNS server's management: add-a, clear-a, add-aaaa, set-servfail, ..."""
        return self.post_json(f"{self.env['DNS_MGMT']}/{verb}", body)

    def point(self, name, *addresses):
        self.dns("add-a", host=name, addresses=list(addresses or ["127.0.0.1"]))

    # ---- bringing down ----

    def down(self):
        order = ("nginx1", "edged1", "posternd", "app", "pebble", "bind", "dns", "postgresql")
        for name in order:
            if name in self.state["parts"]:
                self.stop(name, signal.SIGINT if name == "postgresql" else signal.SIGTERM)


def reap(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass


def openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise StackError("openssl: " + done.stderr)
