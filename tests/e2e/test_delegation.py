"""posternd as DNS server of the zone that challenges are delegated to: two nodes on one PostgreSQL,
asked by the clients that others wrote."""

import json
import random
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from conftest import _make
from recursor import Recursor
from stack import ROOT, build_dir, free_ports, wait_for

ZONE = "acme.test"
WITHIN_MS = 250


def posternd(conf, *args):
    return subprocess.run([build_dir() / "src" / "posternd", "--config", conf, *args],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def nodes():
    """Two posternd, the second one on all addresses and with two threads."""
    ports = free_ports(5)
    dnsd = {"dnsd.zone": ZONE, "dnsd.ns": "ns1.example.net, ns2.example.net",
            "dnsd.admin": "dns.ops@example.net", "dnsd.rate_limit": 100000,
            "dnsd.caa": "letsencrypt.org", "metrics.loopback": "true"}
    client = _make(db="postgresql", set_={**dnsd, "dnsd.listen":
                                          f"127.0.0.1:{ports[0]}, [::1]:{ports[1]}"})
    stack = client.stack
    conf = (stack.dir / "postern.conf").read_text()
    conf = re.sub(r"api\.listen = .*", f"api.listen = 127.0.0.1:{ports[2]}", conf)
    conf = re.sub(r"dnsd\.listen = .*", f"dnsd.listen = 0.0.0.0:{ports[3]}\ndnsd.threads = 2", conf)
    (stack.dir / "postern2.conf").write_text(conf)
    stack.define("posternd2", [build_dir() / "src" / "posternd", "--config",
                               stack.dir / "postern2.conf"])
    stack.start("posternd2")
    wait_for("the second node", lambda: b"ok" in stack.get(f"http://127.0.0.1:{ports[2]}/v1/health"))
    client.dns = [("127.0.0.1", ports[0]), ("127.0.0.1", ports[3]), ("::1", ports[1])]
    client.recursor = ports[4]
    yield client
    stack.stop("posternd2")
    stack.down()
    shutil.rmtree(stack.dir, ignore_errors=True)


def sql(nodes, *statements):
    """As one transaction of somebody else: neither node is told."""
    text = ";".join(["BEGIN", *statements, "UPDATE dns_answers_version SET version = version + 1",
                     "COMMIT"])
    subprocess.run(["psql", "-qv", "ON_ERROR_STOP=1", nodes.stack.env["DB_URL"], "-c", text],
                   check=True)


def put(nodes, label, *values, wait=True):
    until = int(time.time() * 1000) + 3600_000
    sql(nodes, *(f"INSERT INTO dns_answers VALUES ('{label}', '{v}', {until})" for v in values))
    if wait:
        settle(nodes, label, len(values))


def drop(nodes, label, wait=True):
    sql(nodes, f"DELETE FROM dns_answers WHERE label = '{label}'")
    if wait:
        settle(nodes, label, 0)


def settle(nodes, label, n):
    for at in nodes.dns[:2]:
        wait_for(f"{label} at {at}", lambda at=at: (answers(at, f"{label}.{ZONE}", tcp=True) > 0) == (n > 0))


def dig(at, name, type_="TXT", *more):
    done = subprocess.run(["dig", f"@{at[0]}", "-p", str(at[1]), "+tries=1", "+time=5", *more, name,
                           type_], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def short(at, name, type_="TXT", *more):
    return sorted(dig(at, name, type_, "+short", *more).split())


def query(name, type_=16):
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
    return struct.pack(">6H", random.randrange(65536), 0, 1, 0, 0, 0) + labels + struct.pack(
        ">BHH", 0, type_, 1)


def answers(at, name, tcp=False):
    """How many there are, by one datagram or one connection."""
    if tcp:
        with socket.create_connection(at, timeout=2) as s:
            s.sendall(struct.pack(">H", len(query(name))) + query(name))
            return struct.unpack(">H", s.recv(20000)[8:10])[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.sendto(query(name), at)
        return struct.unpack(">H", s.recv(2000)[6:8])[0]


# ---- what is served ----

def test_every_node_has_a_value_at_once(nodes):
    name, slowest = f"quick.{ZONE}", 0
    for round_ in range(10):
        for change, wanted in ((lambda: put(nodes, "quick", f"v{round_}", wait=False), 1),
                               (lambda: drop(nodes, "quick", wait=False), 0)):
            change()
            begun = time.monotonic()
            for at in nodes.dns[:2]:
                while answers(at, name) != wanted:
                    assert time.monotonic() - begun < 5
            slowest = max(slowest, time.monotonic() - begun)
    print(f"slowest of 20 changes on two nodes: {slowest * 1000:.0f} ms")
    assert slowest * 1000 <= WITHIN_MS


@pytest.mark.parametrize("more", [(), ("+tcp",), ("+noedns",), ("+dnssec",), ("+nocookie",)])
def test_dig(nodes, more):
    put(nodes, "dig", "one", "two words")
    for at in nodes.dns:
        text = dig(at, f"DiG.{ZONE}", "TXT", *more)
        assert "status: NOERROR" in text and " aa" in text and " ra" not in text.split("QUERY:")[0]
        assert f"DiG.{ZONE}." in text  # in its letters' case
        assert re.search(r'5\s+IN\s+TXT\s+"one"', text) and '"two words"' in text
        assert "WARNING" not in text.replace("WARNING: recursion requested but not available", "")
    drop(nodes, "dig")


def test_names_that_have_no_value_exist(nodes):
    text = dig(nodes.dns[0], f"nothing.{ZONE}")
    assert "status: NOERROR" in text and "ANSWER: 0, AUTHORITY: 1" in text
    assert re.search(rf"{ZONE}\.\s+1\s+IN\s+SOA\s+ns1\.example\.net\. dns\\\.ops\.example\.net\.",
                     text)
    assert "status: NXDOMAIN" in dig(nodes.dns[0], f"a.nothing.{ZONE}")
    assert "status: NOERROR" in dig(nodes.dns[0], f"nothing.{ZONE}", "A")


@pytest.mark.parametrize("name, type_, more, status", [
    ("example.com", "A", (), "REFUSED"), (".", "NS", (), "REFUSED"),
    (ZONE, "TXT", ("-c", "CH"), "REFUSED"), (ZONE, "TXT", ("-c", "ANY"), "REFUSED"),
    (ZONE, "SOA", ("+edns=1", "+noednsneg"), "BADVERS"), (ZONE, "SOA", ("+opcode=NOTIFY",), "NOTIMP"),
    (ZONE, "SOA", ("+opcode=UPDATE",), "NOTIMP"), (ZONE, "SOA", ("+opcode=STATUS",), "NOTIMP"),
    (ZONE, "SOA", ("+header-only",), "FORMERR"), (ZONE, "SOA", ("+ednsopt=65001:00ff",), "NOERROR"),
    (ZONE, "SOA", ("+subnet=192.0.2.0/24",), "NOERROR"),
])
def test_statuses(nodes, name, type_, more, status):
    for tcp in ((), ("+tcp",)):
        assert f"status: {status}" in dig(nodes.dns[0], name, type_, *more, *tcp)


def test_the_apex(nodes):
    assert short(nodes.dns[0], ZONE, "NS") == ["ns1.example.net.", "ns2.example.net."]
    assert dig(nodes.dns[0], ZONE, "CAA", "+short").strip() == '0 issue "letsencrypt.org"'
    assert "RFC8482" in dig(nodes.dns[0], ZONE, "ANY")
    serials = {dig(at, ZONE, "SOA", "+short").split()[2] for at in nodes.dns}
    assert len(serials) == 1
    assert "Transfer failed" in dig(nodes.dns[0], ZONE, "AXFR")


def test_a_set_too_large_for_udp_comes_by_tcp(nodes):
    values = [chr(97 + i) * 200 for i in range(20)]
    put(nodes, "large", *values)
    name = f"large.{ZONE}"
    assert " tc " in dig(nodes.dns[0], name, "TXT", "+ignore")
    for at in nodes.dns:
        assert short(at, name) == [f'"{v}"' for v in values]
    text = subprocess.run(["kdig", f"@{nodes.dns[0][0]}", "-p", str(nodes.dns[0][1]), name, "TXT"],
                          capture_output=True, text=True).stdout
    assert "truncated reply, retrying over TCP" in text.lower() or "(TCP)" in text
    assert text.count("IN\tTXT\t") == 20
    drop(nodes, "large")


def test_other_clients(nodes):
    put(nodes, "other", "value")
    host, port = nodes.dns[0]
    for argv in (["kdig", f"@{host}", "-p", str(port), "+short", f"other.{ZONE}", "TXT"],
                 ["kdig", f"@{host}", "-p", str(port), "+short", "+tcp", "+keepopen",
                  f"other.{ZONE}", "TXT", f"other.{ZONE}", "TXT"],
                 ["delv", f"@{host}", "-p", str(port), "-i", "+short", f"other.{ZONE}", "TXT"]):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        assert set(done.stdout.split()) == {'"value"'}, f"{argv}: {done.stdout}{done.stderr}"
    drop(nodes, "other")


# ---- through a resolver, from the tenant's CNAME ----

@pytest.fixture
def recursor(nodes):
    with Recursor(nodes.recursor, nodes.stack.env["DNS_ADDR"], ZONE, nodes.dns[:2]) as at:
        yield at


def test_a_resolver_follows_the_tenants_cname_and_forgets_soon(nodes, recursor):
    nodes.stack.dns("set-cname", host="_acme-challenge.tenant.test.", target=f"tenant.{ZONE}.")
    name = "_acme-challenge.tenant.test"
    assert f"tenant.{ZONE}." in dig(recursor, name)
    assert '"' not in dig(recursor, name, "TXT", "+short")
    put(nodes, "tenant", "first")
    # The absence was cached, but not for long.
    wait_for("the value", lambda: '"first"' in dig(recursor, name, "TXT", "+short"), 5)
    put(nodes, "tenant", "second")
    wait_for("both", lambda: '"second"' in dig(recursor, name, "TXT", "+short"), 10)
    drop(nodes, "tenant")


def test_an_order_by_delegation(make_system):
    """The whole way: the tenant's CNAME, an order, Pebble that asks a resolver, a certificate."""
    ours, port = free_ports(2)
    system = make_system(set_={"dnsd.zone": ZONE, "dnsd.ns": "ns1.example.net",
                               "dnsd.listen": f"127.0.0.1:{ours}",
                               "dns.resolver": f"127.0.0.1:{port}"})
    stack = system.stack
    with Recursor(port, stack.env["DNS_ADDR"], ZONE, [("127.0.0.1", ours)]):
        # The CA's resolver is ours too.
        stack.stop("pebble")
        argv = stack.state["parts"]["pebble"]["argv"]
        argv[argv.index("-dnsserver") + 1] = f"127.0.0.1:{port}"
        stack.start_pebble()
        system.app("deleg")
        made = stack.call("POST", "/v1/apps/deleg/domains", {"domain": {"name": "*.deleg.test"}})
        target = delegation_of(stack, made["domain"]["id"])
        assert target.endswith(f".{ZONE}")
        stack.dns("set-cname", host="_acme-challenge.deleg.test.", target=target + ".")
        system.wait_word("deleg", "*.deleg.test", "In use", 60)
        assert system.https("any.deleg.test")[0] == 200
        # The value went with its order.
        wait_for("the end", lambda: answers(("127.0.0.1", ours), target) == 0)


def delegation_of(stack, domain_id):
    """What the tenant is told to make."""
    text = json.dumps(stack.call("GET", f"/v1/apps/deleg/domains/{domain_id}"))
    return re.search(rf"\w+\.{ZONE}", text)[0]


# ---- misuse ----

def flood(at, n, name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        packet, seen = query(name), {"whole": 0, "cut": 0}
        end = None
        while n or time.monotonic() < end:
            if n:
                n -= 1
                s.sendto(packet, at)
                end = time.monotonic() + 0.3
            try:
                seen["cut" if s.recv(2000)[2] & 2 else "whole"] += 1
            except BlockingIOError:
                pass
    return seen


def test_a_flood_is_limited_but_tcp_is_not(make_system):
    port = free_ports(1)[0]
    client = make_system(set_={"dnsd.zone": ZONE, "dnsd.ns": "ns1.example.net", "dnsd.rate_limit": 50,
                               "dnsd.rate_slip": 2, "dnsd.listen": f"127.0.0.1:{port}",
                               "metrics.loopback": "true"})
    at = ("127.0.0.1", port)
    seen = flood(at, 1000, f"a.{ZONE}")
    # What the socket had no room for is lost before anybody counts it.
    assert 50 <= seen["whole"] <= 150 and 50 <= seen["cut"] <= 500, seen
    assert "status: NOERROR" in dig(at, ZONE, "SOA", "+tcp")
    assert "ns1.example.net." in dig(at, ZONE, "NS", "+short", "+time=5")

    def figures():
        text = client.stack.get(client.env["POSTERN_URL"] + "/metrics").decode()
        return {m[1]: int(m[2]) for m in re.finditer(r'postern_dns_\w+\{\w+="(\w+)"\} (\d+)', text)}
    wait_for("the figures", lambda: figures().get("udp", 0) >= seen["whole"] + 2 * seen["cut"])
    wait_for("the figures", lambda: figures().get("tcp", 0) >= 1)
    assert figures()["limited"] >= seen["cut"] - 1 and figures()["rate"] >= seen["cut"]


def test_noise_is_survived(nodes):
    at, dice = nodes.dns[0], random.Random(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(5000):
            packet = bytearray(query(f"noise.{ZONE}"))
            for _ in range(dice.randrange(4)):
                packet[dice.randrange(len(packet))] = dice.randrange(256)
            s.sendto(packet[:dice.randrange(len(packet) + 1)] + dice.randbytes(dice.choice((0, 9))), at)
    for _ in range(50):
        with socket.create_connection(at, timeout=5) as s:
            s.sendall(dice.randbytes(dice.randrange(1, 400)))
    assert "status: NOERROR" in dig(at, ZONE, "SOA")
    assert nodes.stack.running("posternd")


# ---- settings and faults ----

@pytest.mark.parametrize("sets, said", [
    (["dnsd.listen=127.0.0.1:53"], "dnsd.zone: must be set where dnsd.listen is"),
    (["dnsd.listen=127.0.0.1:53", "dnsd.zone=a.example.net"], "dnsd.ns: must be set"),
    (["dnsd.zone=a.example.net", "dnsd.ns=ns.a.example.net"], "name the servers outside"),
    (["dnsd.zone=a.example.net", "dnsd.ns=a.example.net"], "name the servers outside"),
    (["dnsd.listen=ns1.example.net:53"], "an IP address with a port"),
    (["dnsd.zone=A.example.net"], "a DNS name in lower case"),
    (["dnsd.zone=" + "a" * 60 + ".b" * 70], "190 bytes"),
])
def test_check_config_says_what_to_mend(tmp_path, sets, said):
    conf = tmp_path / "postern.conf"
    conf.write_text("")
    done = posternd(conf, *(word for s in sets for word in ("--set", s)), "--check-config")
    assert done.returncode == 1 and said in done.stderr, done.stderr
    good = posternd(conf, "--set", "dnsd.zone=a.example.net", "--set", "dnsd.ns=ns.xa.example.net",
                    "--set", "dnsd.listen=[::1]:53", "--check-config")
    assert good.returncode == 0, good.stderr


def indented(command):
    """The lines of the guide that are set in by four blanks and begin with this."""
    text = (ROOT / "docs" / "delegation.md").read_text()
    return [line.strip() for line in text.splitlines() if line.startswith("    " + command)]


def test_settings_of_the_guide(tmp_path):
    conf = tmp_path / "postern.conf"
    conf.write_text("\n".join(indented("dnsd.")) + "\n")
    assert len(indented("dnsd.")) == 4
    done = posternd(conf, "--check-config")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in indented("dig") if "@" in c])
def test_questions_of_the_guide(nodes, command):
    words = command.replace("acme.example.net", ZONE).split()
    options = [w for w in words if w.startswith("+")]
    name = next(w for w in words[1:] if w[0] not in "+@")
    assert "ANSWER: 0" not in dig(nodes.dns[0], name, words[words.index(name) + 1], *options)


def test_a_second_server_on_the_same_address_does_not_start(nodes):
    conf = (nodes.stack.dir / "postern2.conf").read_text()
    conf = re.sub(r"dnsd\.listen = .*", f"dnsd.listen = 127.0.0.1:{nodes.dns[0][1]}", conf)
    conf = re.sub(r"api\.listen = .*", f"api.listen = 127.0.0.1:{free_ports(1)[0]}", conf)
    path = nodes.stack.dir / "third.conf"
    path.write_text(conf)
    done = posternd(path)
    assert done.returncode == 1
    assert "dnsd.listen: 127.0.0.1:" in done.stderr and "another server answers there" in done.stderr


def test_what_was_read_is_served_while_the_database_is_away(nodes):
    put(nodes, "away", "value")
    wait_for("the value", lambda: answers(nodes.dns[0], f"away.{ZONE}") == 1)
    nodes.stack.stop("postgresql")
    time.sleep(1)
    for at in nodes.dns[:2]:
        assert answers(at, f"away.{ZONE}") == 1
    told = nodes.stack.log("posternd").count("values of DNS challenges could not be read")
    assert told <= 1  # a line a minute
    nodes.stack.start("postgresql")
    wait_for("PostgreSQL", lambda: subprocess.run(
        ["psql", "-qAt", nodes.stack.env["DB_URL"], "-c", "select 1"],
        capture_output=True).returncode == 0)
    drop(nodes, "away")
    wait_for("the change", lambda: answers(nodes.dns[0], f"away.{ZONE}") == 0, 30)


def test_it_stops_cleanly(nodes):
    nodes.stack.stop("posternd2", seconds=20)
    log = nodes.stack.log("posternd2")
    assert "stopping" in log and "ERROR: AddressSanitizer" not in log and "runtime error" not in log
