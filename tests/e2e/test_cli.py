"""postern, the command line client, against the real API."""

import json
import os
import pty
import re
import select
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from api_testd import Api
from stack import build_dir

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def api():
    api = Api("platform.domain=platform.example", "names.any_tld=true")
    yield api
    api.close()


_serial = [0]


def new_app(api):
    _serial[0] += 1
    name = f"cli-app-{_serial[0]}"
    done = api.cli("create", name)
    assert done.returncode == 0, done.stderr
    return name


def json_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def on_terminal(api, *args, user="alice", typed=""):
    """(status, what a person sees)"""
    env = {**os.environ, "HOME": api.dir, "POSTERN_URL": api.url, "TERM": "xterm",
           "POSTERN_TOKEN": api.tokens[user] if user else ""}
    master, slave = pty.openpty()
    p = subprocess.Popen([build_dir() / "src" / "postern", *args], env=env, stdin=slave,
                         stdout=slave, stderr=slave, close_fds=True)
    os.close(slave)
    if typed:
        time.sleep(0.3)
        os.write(master, typed.encode())
    seen = b""
    while select.select([master], [], [], 20)[0]:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(master)
    return p.wait(timeout=20), seen.decode().replace("\r\n", "\n")


# ---- logging in ----

def test_login_keeps_the_token_for_its_owner_only(api, tmp_path):
    none = api.cli("self", user=None, home=tmp_path)
    assert none.returncode == 4 and f"(log in with: postern login --url {api.url})" in none.stderr
    assert none.stderr.count("\n") == 1 and "\ufffd" not in none.stderr
    done = api.cli("login", "--api-token", api.tokens["alice"], user=None, home=tmp_path)
    assert done.returncode == 0 and "Hello alice" in done.stdout
    file = tmp_path / ".config/postern/auth.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    # The last login's server is the default one.
    again = api.cli("self", "--json", user=None, home=tmp_path, env={"POSTERN_URL": ""})
    assert json_of(again)["user"]["username"] == "alice"
    # Another server does not get this token.
    other = api.cli("self", user=None, home=tmp_path,
                    env={"POSTERN_URL": api.url.replace("127.0.0.1", "127.0.0.2")})
    assert other.returncode == 4
    file.chmod(0o644)
    open_file = api.cli("self", user=None, home=tmp_path)
    assert open_file.returncode == 4 and str(file) in open_file.stderr
    file.chmod(0o600)
    assert api.cli("logout", user=None, home=tmp_path).returncode == 0
    assert api.cli("self", user=None, home=tmp_path).returncode == 4
    assert api.tokens["alice"] not in file.read_text()


def test_login_reads_the_token_from_standard_input(api, tmp_path):
    done = api.cli("login", user=None, home=tmp_path, stdin=api.tokens["bob"] + "\n")
    assert done.returncode == 0 and "Hello bob" in done.stdout
    wrong = api.cli("login", user=None, home=tmp_path, stdin="tk-us-wrong\n")
    assert wrong.returncode == 4
    assert api.cli("login", user=None, home=tmp_path, stdin="").returncode == 2
    # The failed login left the good one.
    assert "bob" in api.cli("self", user=None, home=tmp_path).stdout


def test_a_typed_token_is_not_shown(api):
    status, seen = on_terminal(api, "login", user=None, typed=api.tokens["alice"] + "\n")
    assert status == 0 and api.tokens["alice"] not in seen and "Hello alice" in seen


def test_the_servers_that_are_accepted(api):
    assert api.cli("self", env={"POSTERN_URL": f"unix:{api.socket}"}).returncode == 0
    assert api.cli("self", "--url", api.url + "/", env={"POSTERN_URL": ""}).returncode == 0
    for url in ("http://192.0.2.1:8080", "ftp://127.0.0.1", "unix:", "nonsense", "http://u:p@127.0.0.1"):
        done = api.cli("self", "--url", url)
        assert done.returncode == 2, (url, done.stderr)
    gone = api.cli("self", "--url", "http://127.0.0.1:1")
    assert gone.returncode == 3 and "127.0.0.1" in gone.stderr
    assert api.cli("self", "--url", f"unix:{api.dir}/nothing.sock").returncode == 3


def test_a_wrong_token_is_status_4(api):
    done = api.cli("apps", env={"POSTERN_TOKEN": "tk-us-wrong"})
    assert done.returncode == 4 and "tk-us-wrong" not in done.stderr


# ---- apps and upstreams ----

def test_apps(api):
    app = new_app(api)
    rows = [line.split("\t") for line in api.cli("apps").stdout.splitlines()]
    assert [r for r in rows if r[0] == app and r[1] == "new"]
    info = api.cli("apps-info", "--app", app).stdout
    assert app in info and "alice" in info and "off" in info
    assert api.cli("force-https", "-a", app).returncode == 0
    assert json_of(api.cli("apps-info", "-a", app, "--json"))["app"]["force_https"] is True
    assert api.cli("force-https", "-a", app, "--disable").returncode == 0
    assert json_of(api.cli("apps-info", "-a", app, "--json"))["app"]["force_https"] is False
    refused = api.cli("create", "A")
    assert refused.returncode == 1 and "name" in refused.stderr and not refused.stdout
    absent = api.cli("apps-info", "-a", "nothing")
    assert absent.returncode == 1 and "the app was not found" in absent.stderr


def test_destroy_asks(api):
    app = new_app(api)
    piped = api.cli("destroy", app)
    assert piped.returncode == 2 and "--force" in piped.stderr
    status, seen = on_terminal(api, "destroy", app, typed="no\n")
    assert status == 1 and "nothing was removed" in seen
    status, seen = on_terminal(api, "destroy", app, typed=app + "\n")
    assert status == 0 and "has been removed" in seen
    assert api.cli("apps-info", "-a", app).returncode == 1
    other = new_app(api)
    assert api.cli("--app", other, "destroy", "--force").returncode == 0


def test_upstreams(api):
    app = new_app(api)
    done = api.cli("-a", app, "upstreams-set", "127.0.0.1:3000=5", "[::1]:3000", user="olga")
    assert done.returncode == 0
    rows = sorted(line.split("\t")[:2] for line in
                  api.cli("upstreams", "-a", app).stdout.splitlines())
    assert rows == [["127.0.0.1:3000", "5"], ["[::1]:3000", "1"]]
    # The tenant may not choose the operator's addresses, but which of them get requests.
    assert api.cli("-a", app, "upstreams-set", "127.0.0.1:3000").returncode == 1
    done = api.cli("-a", app, "upstreams-drain", "127.0.0.1:3000", "[::1]:3000")
    assert [line.split("\t")[2] for line in done.stdout.splitlines()] == ["yes", "yes"]
    done = api.cli("-a", app, "upstreams-drain", "--disable", "[::1]:3000")
    assert sorted(line.split("\t")[:3] for line in done.stdout.splitlines()) == \
        [["127.0.0.1:3000", "5", "yes"], ["[::1]:3000", "1", "no"]]
    assert api.cli("-a", app, "upstreams-drain", "127.0.0.1:1").returncode == 1
    assert api.cli("-a", app, "upstreams-drain", "-e", "-d", "[::1]:3000").returncode == 2
    assert api.cli("-a", app, "upstreams-set", "127.0.0.1:3000=x", user="olga").returncode == 2
    assert api.cli("-a", app, "upstreams-set", user="olga").stdout == ""


# ---- domains ----

def test_domains(api):
    app = new_app(api)
    done = api.cli("-a", app, "domains-add", "bücher.example.com")
    assert done.returncode == 0 and "Pending DNS" in done.stdout
    assert "DNS has not been looked at yet" in done.stdout
    again = api.cli("-a", app, "domains-add", "bücher.example.com")
    assert again.returncode == 1 and "name has already been taken" in again.stderr
    assert api.cli("-a", app, "domains-add", "*.cli.example.com").returncode == 0
    assert "Disabled" in api.cli("-a", app, "domains-add", "--no-letsencrypt",
                                 "plain.example.com").stdout
    assert api.cli("-a", app, "set-canonical-domain", "plain.example.com").returncode == 0
    rows = {line.split("\t")[0]: line.split("\t")[1] for line in
            api.cli("-a", app, "domains").stdout.splitlines()}
    assert rows == {"bücher.example.com": "Pending DNS", "*.cli.example.com": "Creating",
                    "plain.example.com (*)": "Disabled"}
    assert api.cli("-a", app, "unset-canonical-domain").returncode == 0
    assert api.cli("-a", app, "unset-canonical-domain").returncode == 1
    for name in ("bücher.example.com", "*.cli.example.com"):
        assert api.cli("-a", app, "domains-remove", name).returncode == 0
    gone = api.cli("-a", app, "domains-remove", "bücher.example.com")
    assert gone.returncode == 1 and "the domain was not found" in gone.stderr


def test_tables_on_a_terminal(api):
    app = new_app(api)
    api.cli("-a", app, "domains-add", f"bücher.{app}.example")
    api.cli("-a", app, "domains-add", f"long-name-of-a-host.{app}.example")
    status, seen = on_terminal(api, "-a", app, "domains")
    lines = seen.splitlines()
    assert status == 0 and lines[0].startswith("NAME") and set(lines[1]) <= {"─", " "}
    column = lines[0].index("STATUS")
    assert all(line[column:].startswith("Pending DNS") for line in lines[2:])


def test_explain(api):
    app = new_app(api)
    d = json_of(api.cli("-a", app, "domains-add", "--json", f"www.{app}.example"))["domain"]
    api.do("domain", id=d["id"], phase="dns", problem="dns.elsewhere",
           reason="The name points to another server.", evidence="A 192.0.2.7\x1b[2J",
           record=f"www.{app}.example. A 192.0.2.1", next_try_in_s=45)
    done = api.cli("-a", app, "domains-explain", f"www.{app}.example")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"Pending DNS: www.{app}.example"
    assert lines[2] == "  The name points to another server."
    assert f"To do       www.{app}.example. A 192.0.2.1" in done.stdout
    assert "\x1b" not in done.stdout and "Seen        A 192.0.2.7" in done.stdout
    assert re.search(r"Next try    in [456]\d s \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)", done.stdout)
    assert "▶ default" in done.stdout and "was added (user:alice)" in done.stdout
    assert json_of(api.cli("-a", app, "domains-explain", d["id"], "--json"))["explain"]["word"] == \
        "Pending DNS"


def test_wait_tells_each_step_until_it_is_served(api):
    app = new_app(api)
    name = f"wait.{app}.example"

    def engine():
        domain = None
        while not domain:
            time.sleep(0.1)
            got = api.call("GET", f"/v1/apps/{app}/domains", user="alice").json["domains"]
            domain = got[0]["id"] if got else None
        time.sleep(1.5)
        api.do("domain", id=domain, phase="work", reason="An order is under way.")
        api.do("order", id=domain, state="validating")
        time.sleep(1.5)
        api.do("domain", id=domain, reason="Served since now.")
        api.do("cert", id=domain, seen=True)

    api.session("alice")
    thread = threading.Thread(target=engine)
    thread.start()
    done = api.cli("-a", app, "domains-add", name, "--wait", "--timeout", "30")
    thread.join()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Pending DNS: ") and lines[-1].startswith("In use")
    assert any(line.startswith("Creating, step validating: An order") for line in lines)
    assert len(lines) == len(set(lines))


def let_it_wait(api, app, name):
    """As soon as the domain is there, a record is waited for."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        listed = json_of(api.cli("-a", app, "domains", "--json"))["domains"]
        if listed:
            break
        time.sleep(0.05)
    api.do("domain", id=listed[0]["id"], phase="manual", reason="Make the record.",
           record=f"_acme-challenge.{name.removeprefix('*.')}. TXT abc")


def test_wait_ends_where_only_a_person_can_help(api):
    app = new_app(api)
    wild = f"*.{app}.example"
    waiting = threading.Thread(target=let_it_wait, args=(api, app, wild))
    waiting.start()
    done = api.cli("-a", app, "domains-add", wild, "--wait")
    waiting.join()
    assert done.returncode == 1 and "Action required" in done.stdout
    assert f"to do: _acme-challenge.{app}.example. TXT abc" in done.stdout
    late = api.cli("-a", app, "domains-add", f"late.{app}.example", "--wait", "--timeout", "1")
    assert late.returncode == 1 and "goes on trying" in late.stderr
    off = api.cli("-a", app, "domains-add", f"off.{app}.example", "--wait", "--no-letsencrypt")
    assert off.returncode == 0


# ---- the platform ----

def test_platform(api):
    assert api.cli("regions", user=None).stdout == f"osc-fr1\t{api.url}\tyes\n"
    assert "olga" in api.cli("self", user="olga").stdout
    token = api.cli("edges-enrol-token", user="olga").stdout.strip()
    assert re.fullmatch(r"tk-en-[\w-]{43}", token)
    assert api.cli("edges-enrol-token").returncode == 1
    assert api.cli("edges", user="olga").returncode == 0
    app = new_app(api)
    rows = [line.split("\t") for line in api.cli("events", "-a", app).stdout.splitlines()]
    assert [r[1:3] for r in rows] == [["user:alice", "app.created"]]
    assert api.cli("events").returncode == 1
    assert len(api.cli("events", "-n", "3", user="olga").stdout.splitlines()) == 3
    assert api.cli("events", "--limit", "0", user="olga").returncode == 2


# ---- help, completion, manual ----

def test_every_command_explains_itself(api):
    listed = re.findall(r"^  ([a-z-]+) {2,}\S", api.cli("help").stdout, re.M)
    assert "domains-explain" in listed and len(listed) > 20
    for verb in listed:
        told = api.cli("help", verb)
        assert told.returncode == 0 and f" {verb}" in told.stdout
        assert api.cli(verb, "--help", user=None).stdout == told.stdout
        assert all(len(line) <= 120 for line in told.stdout.splitlines())
    assert api.cli("help", "nothing").returncode == 2
    assert api.cli("version").stdout.startswith("postern ")
    nothing = api.cli()
    assert nothing.returncode == 2 and "usage:" in nothing.stderr


def test_completion(api):
    bash = api.cli("completion", "bash").stdout
    asked = ('source /dev/stdin; COMP_WORDS=(postern --app x domains-a); COMP_CWORD=3; _postern; '
             'echo "${COMPREPLY[@]}"; COMP_WORDS=(postern domains-add --w); COMP_CWORD=2; _postern; '
             'echo "${COMPREPLY[@]}"; COMP_WORDS=(postern completion ""); COMP_CWORD=2; _postern; '
             'echo "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", asked], input=bash, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["domains-add", "--wait", "bash zsh fish"], done.stderr
    for shell in ("zsh", "fish"):
        script = api.cli("completion", shell).stdout
        assert "domains-explain" in script and "no-letsencrypt" in script
    assert api.cli("completion", "csh").returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_in_the_tree_are_current(api, shell):
    assert (ROOT / "completions" / f"postern.{shell}").read_text() == \
        api.cli("completion", shell).stdout


def test_the_manual_page_is_current(api, tmp_path):
    page = api.cli("mdoc").stdout
    assert (ROOT / "man" / "postern.1").read_text() == page
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=page,
                          capture_output=True, text=True)
    assert lint.stdout == "" and lint.returncode == 0


def test_a_closed_pipe_is_no_crash(api):
    done = subprocess.run(f"'{build_dir() / 'src' / 'postern'}' help | true", shell=True,
                          capture_output=True, text=True)
    assert "Sanitizer" not in done.stderr
