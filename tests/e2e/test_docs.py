"""Every command in README and guides is run, on a system of its own, in the order of the text.

A command that no rule below knows is an error: whoever adds one to a guide says here how it is run.
"""

import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from stack import ROOT, build_dir, openssl, wait_for

GUIDES = ["README.md", "docs/install.md", "docs/certificates.md", "docs/ownership.md", "docs/bulk.md",
          "docs/delegation.md", "docs/wildcards.md", "docs/dns-providers.md"]
OWN_NAME = "www.certs.example.com"  # what stands for www.example.com in the guide to certificates

# Commands that a test must not run as they stand, and what is checked instead.
MAKE = {"demo", "test", "all", "deps", "install", "help"}
SYSTEM = {"useradd", "install", "runuser"}


def joined(block):
    """A line that ends in a backslash or a pipe goes on in the next one."""
    return block.replace("\\\n", " ").replace("|\n", "| ")


def commands(guide):
    """(line of the guide, command) of each sh block, comments dropped, continuations joined."""
    text = (ROOT / guide).read_text()
    for block in re.finditer(r"```sh\n(.*?)```", text, re.S):
        line = text[:block.start()].count("\n") + 2
        for offset, command in enumerate(joined(block.group(1)).splitlines()):
            command = re.sub(r"\s+#.*$", "", command).strip()
            if command:
                yield line + offset, command


def all_commands():
    return [pytest.param(guide, line, command, id=f"{guide}:{line}")
            for guide in GUIDES for line, command in commands(guide)]


@pytest.fixture(scope="module")
def place(shared, tmp_path_factory):
    """Where the commands run: our programs on the path, a home, a running system."""
    home = tmp_path_factory.mktemp("docs")
    path = f"{build_dir()}/src:{os.environ['PATH']}"
    shared.stack.point("www.example.com")
    shared.app("my-app")
    make_certificates(home)
    return shared, {**os.environ, "HOME": str(home), "PATH": path}, home


def make_certificates(home):
    """The files that the guide to certificates speaks of, but for those its commands make."""
    san = ["-addext", f"subjectAltName=DNS:{OWN_NAME}"]
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", home / "my.key", "-out",
            home / "my.crt", "-days", 60, "-subj", f"/CN={OWN_NAME}", *san)
    shutil.copy(home / "my.crt", home / "company-root.pem")
    (home / "bundle.pem").write_text((home / "my.key").read_text() + (home / "my.crt").read_text())
    openssl("pkcs12", "-export", "-in", home / "bundle.pem", "-out", home / "bundle.p12",
            "-passout", "pass:secret")
    openssl("x509", "-in", home / "my.crt", "-outform", "DER", "-out", home / "my.der")


def sign_request(home):
    """What the authority of the customer's choice does with my.csr."""
    if not (home / "my.csr").exists() or (home / "issued.crt").exists():
        return
    (home / "ext").write_text(f"subjectAltName=DNS:{OWN_NAME}\nextendedKeyUsage=serverAuth\n")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", home / "ca.key", "-out",
            home / "ca.crt", "-days", 60, "-subj", "/CN=Company CA")
    openssl("x509", "-req", "-in", home / "my.csr", "-CA", home / "ca.crt", "-CAkey",
            home / "ca.key", "-CAcreateserial", "-days", 30, "-extfile", home / "ext", "-out",
            home / "issued.crt")


def run(place, argv, check=True):
    _, env, home = place
    done = subprocess.run(argv, env=env, cwd=home, capture_output=True, text=True, timeout=90,
                          stdin=subprocess.DEVNULL)
    if check:
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done


def as_tested(place, guide, argv):
    """The placeholders of the guides, filled in."""
    system = place[0]
    values = {"tk-us-...": system.env["POSTERN_TOKEN"],
              "http://127.0.0.1:8080": system.env["POSTERN_URL"],
              "127.0.0.1:3000": system.env["BACKEND"]}
    if "certificates" in guide:
        values["www.example.com"] = OWN_NAME
        values["2027-03-01T00:00:00Z"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return [values.get(word, word) for word in argv]


def run_make(targets):
    done = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(targets) <= MAKE


def run_posternd(place, argv):
    """Against a configuration of its own; without a command only its settings are checked."""
    home = place[2]
    conf = home / "postern.conf"
    conf.write_text(f"database.url = sqlite:{home}/postern.db\n"
                    f"keys.master_file = {home}/master.key\n")
    if "init" in argv:
        for old in (*home.glob("postern.db*"), *home.glob("master.key")):
            old.unlink()
    else:
        argv = argv + ["--check-config"]
    run(place, [argv[0], "--config", str(conf), *argv[1:]])


def make_record(system, name):
    """What the reader of the guide to wildcards does by hand before the next command."""
    def known():
        listed = system.stack.call("GET", "/v1/apps/my-app/domains")["domains"]
        return next((d for d in listed if d["name"] == name and d["acme_dns_value"]), None)
    d = wait_for(f"the record of {name}", known)
    system.stack.dns("set-txt", host=d["acme_dns_fqdn"] + ".", value=d["acme_dns_value"])


def run_postern(place, guide, argv, into):
    home = place[2]
    sign_request(home)
    if "wildcards" in guide and "domains-retry" in argv:
        make_record(place[0], argv[-1])
        run(place, argv)
        place[0].wait_word("my-app", argv[-1], "In use")
        return
    done = run(place, as_tested(place, guide, argv), check=False)
    if into and done.returncode == 0 and not into.startswith("/"):
        (home / into).write_text(done.stdout)
    # The guides repeat themselves: what is there already is said so, and stays.
    assert done.returncode == 0 or "taken" in done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("guide, line, command", all_commands())
def test_command(place, guide, line, command):
    for part in re.split(r" && | \| ", command):
        part, _, into = part.partition(" > ")
        argv = shlex.split(part)
        if argv[0] == "runuser":
            argv = argv[argv.index("--") + 1:]
        if argv[0] == "systemctl":
            continue  # a container has no systemd; test_units_are_good looks at the units
        if argv[0] == "make":
            run_make(argv[1:])
        elif argv[0] in SYSTEM:
            assert shutil.which(argv[0], path=os.environ["PATH"] + ":/usr/sbin")
        elif argv[0] == "posternd":
            run_posternd(place, argv)
        elif argv[0] == "postern-edged":
            run(place, [*argv, "--help"])
        elif argv[0] == "postern":
            run_postern(place, guide, argv, into)
        else:
            pytest.fail(f"{guide}:{line}: no rule for {argv[0]}")


def test_links_in_the_documents_lead_somewhere():
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_the_documents_name_exist():
    text = "".join((ROOT / g).read_text() for g in (*GUIDES, "CONTRIBUTING.md", "ARCHITECTURE.md"))
    for name in set(re.findall(r"`((?:src|tests|scripts|docs|examples)/[\w./-]+\w)`", text)):
        assert (ROOT / name).exists() or Path(name).suffix == "", name


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("program", ["posternd", "postern-edged"])
def test_units_are_good(program, tmp_path):
    unit = (ROOT / "examples" / "systemd" / f"{program}.service").read_text()
    at = tmp_path / f"{program}.service"
    at.write_text(unit.replace("/usr/local/bin", str(build_dir() / "src")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", at], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0 and program not in done.stderr, done.stderr
