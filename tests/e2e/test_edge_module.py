"""The nginx module alone: real nginx, real handshakes, a replica written by hand."""

import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

from edge import Backend, Edge, wait_for

NOW = int(time.time())
EVER = f"0:4102444800"
DAY = 86400


@pytest.fixture
def make_edge(request):
    made = []

    def make(**options):
        made.append(Edge(**options))
        return made[-1]

    yield make
    for edge in made:
        if getattr(request.node, "failed", False) and edge.log.exists():
            print(edge.log.read_text(errors="replace")[-5000:])
        edge.stop()


@pytest.fixture
def backends():
    made = []

    def make(name):
        made.append(Backend(name))
        return made[-1]

    yield make
    for b in made:
        b.stop()


def build(edge, *lines, new=True):
    """A published replica with an issuer, a ticket key and these lines."""
    edge.replica.say("new")
    edge.replica.batch(("issuer", edge.issuer.id, "GEN", edge.issuer.der.hex()),
                       edge.replica.ticket_line("t1", time.time() - DAY, time.time() + DAY),
                       *lines)
    edge.replica.say("publish")


def name_line(name, app="app1", flags="a", *steps):
    return ("name", name, "GEN", app, flags, "-", *steps)


def step(cert, start=0, end=4102444800, kind="p256", *second):
    return ":".join(str(x) for x in (cert, int(start), int(end), kind, *second))


# ---- certificates ----

def test_selection_by_sni(make_edge):
    edge = make_edge()
    r = edge.replica
    a, a_der, a_line = r.cert_line(edge.issuer, ["a.test"])
    w, w_der, w_line = r.cert_line(edge.issuer, ["*.wild.test"])
    x, x_der, x_line = r.cert_line(edge.issuer, ["x.wild.test"])
    d, d_der, d_line = r.cert_line(edge.issuer, ["*.apps.test"])
    build(edge, a_line, w_line, x_line, d_line, ("default", "GEN", step(d)),
          name_line("a.test", "app1", "a", step(a)),
          name_line("*.wild.test", "app1", "a", step(w)),
          name_line("x.wild.test", "app1", "a", step(x)),
          name_line("shop.apps.test", "app1", "-"))
    assert edge.leaf("a.test") == a_der
    assert edge.leaf("A.tesT") == a_der
    assert edge.leaf("foo.wild.test") == w_der
    assert edge.leaf("x.wild.test") == x_der
    assert edge.leaf("shop.apps.test") == d_der      # no step of its own: the platform's
    assert edge.alert("wild.test") == "TLSV1_UNRECOGNIZED_NAME"
    assert edge.alert("a.b.wild.test") == "TLSV1_UNRECOGNIZED_NAME"
    assert edge.alert("unknown.test") == "TLSV1_UNRECOGNIZED_NAME"
    assert edge.leaf(None) == d_der
    tls12 = edge.context(ssl.TLSVersion.TLSv1_2)
    assert edge.leaf("a.test", tls12) == a_der
    assert edge.alert("unknown.test", tls12) == "TLSV1_UNRECOGNIZED_NAME"
    m = edge.metrics()
    assert m['postern_handshakes_total{outcome="unknown_name"}'] == 4
    assert m['postern_certificate_cache_total{result="hit"}'] >= 2


def test_the_chain_is_sent(make_edge):
    edge = make_edge()
    a, _, a_line = edge.replica.cert_line(edge.issuer, ["a.test"])
    build(edge, a_line, name_line("a.test", "app1", "a", step(a)))
    shown = s_client(edge, "-servername", "a.test", "-showcerts").stdout
    assert shown.count("BEGIN CERTIFICATE") == 2


def s_client(edge, *args):
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.https}", *args],
                          input="", capture_output=True, text=True, timeout=20)


def test_unknown_names_may_get_the_default(make_edge):
    edge = make_edge(change=lambda t: t.replace("postern_unknown_names refuse",
                                                "postern_unknown_names default"))
    d, d_der, d_line = edge.replica.cert_line(edge.issuer, ["*.apps.test"])
    build(edge, d_line, ("default", "GEN", step(d)))
    assert edge.leaf("unknown.test") == d_der
    status, headers, _ = edge.get("unknown.test", tls=True)
    assert (status, headers["X-Postern-Error"]) == (404, "unknown-host")


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa", "ed25519"])
def test_every_kind_of_key(make_edge, kind):
    edge = make_edge()
    a, der, line = edge.replica.cert_line(edge.issuer, ["a.test"], kind)
    build(edge, line, name_line("a.test", "app1", "a", step(a, kind=kind)))
    # Python's own list of signature algorithms has no Ed25519 in every build.
    done = s_client(edge, "-servername", "a.test", "-sigalgs",
                    "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:"
                    "ed25519:rsa_pss_rsae_sha256:RSA+SHA256")
    assert "CN = a.test" in done.stdout, done.stderr


def test_the_ladder_goes_by_the_clock(make_edge):
    edge = make_edge()
    r = edge.replica
    custom, custom_der, l1 = r.cert_line(edge.issuer, ["a.test"])
    acme, acme_der, l2 = r.cert_line(edge.issuer, ["a.test"])
    late, late_der, l3 = r.cert_line(edge.issuer, ["a.test"])
    d, d_der, l4 = r.cert_line(edge.issuer, ["*.apps.test"])
    now = time.time()
    build(edge, l1, l2, l3, l4, ("default", "GEN", step(d)),
          name_line("a.test", "app1", "a", step(late, now + DAY, now + 2 * DAY),
                    step(custom, 0, now + 3), step(acme, 0, now + 6)))
    assert edge.leaf("a.test") == custom_der
    # Nobody writes anything from here on.
    wait_for("the ACME step", lambda: edge.leaf("a.test") == acme_der, 6)
    assert time.time() >= int(now + 3)
    wait_for("the default", lambda: edge.leaf("a.test") == d_der, 6)
    # The replica's last commit is a floor for the clock.
    r.batch(committed_at=int(now + DAY + 5))
    assert edge.leaf("a.test") == late_der
    assert edge.metrics()["postern_clock_ahead_seconds"] > DAY - 60


def test_steps_that_the_client_cannot_use(make_edge):
    edge = make_edge()
    r = edge.replica
    ed, _, l1 = r.cert_line(edge.issuer, ["ed.test"], "ed25519")
    ec, ec_der, l2 = r.cert_line(edge.issuer, ["ec.test"], "p256")
    rs, rs_der, l3 = r.cert_line(edge.issuer, ["rs.test"], "rsa")
    build(edge, l1, l2, l3,
          name_line("a.test", "app1", "a", step(ed, kind="ed25519"),
                    step(ec, 0, 4102444800, "p256", rs, "rsa")))

    def subject(*args):
        done = s_client(edge, "-servername", "a.test", *args)
        found = re.search(r"^subject=CN = (\S+)", done.stdout, re.M)
        return found.group(1) if found else done.stderr

    assert subject("-sigalgs", "ed25519:ecdsa_secp256r1_sha256") == "ed.test"
    assert subject("-sigalgs", "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256") == "ec.test"
    assert subject("-sigalgs", "rsa_pss_rsae_sha256") == "rs.test"
    assert subject("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256") == "rs.test"
    assert subject("-tls1_2", "-sigalgs", "ECDSA+SHA256:RSA+SHA256") == "ec.test"
    assert "handshake failure" in subject("-sigalgs", "ecdsa_secp384r1_sha384")


def test_a_bad_step_is_passed_over(make_edge):
    edge = make_edge()
    r = edge.replica
    ok, ok_der, l1 = r.cert_line(edge.issuer, ["a.test"])
    bad, _, l2 = r.cert_line(edge.issuer, ["a.test"])
    other, _, l3 = r.cert_line(edge.issuer, ["a.test"])
    wrong_key = list(l2)
    wrong_key[6] = l3[6]                     # the key of another certificate
    junk = ("cert", 77, "GEN", "p256", 0, 9, r.seal("cert/77", b"junk"), "3082", edge.issuer.id)
    build(edge, l1, tuple(wrong_key), junk,
          name_line("a.test", "app1", "a", step(404), step(bad), step(77), step(ok)))
    assert edge.leaf("a.test") == ok_der
    m = edge.metrics()
    assert m["postern_ladder_steps_skipped_total"] == 3
    assert m["postern_unseal_failures_total"] >= 1


def test_a_change_is_live_at_once(make_edge):
    edge = make_edge(workers=2)
    r = edge.replica
    one, one_der, l1 = r.cert_line(edge.issuer, ["a.test"])
    build(edge, l1, name_line("a.test", "app1", "a", step(one)))
    for _ in range(8):
        assert edge.leaf("a.test") == one_der
    workers = edge.workers()
    for _ in range(10):
        two, two_der, l2 = r.cert_line(edge.issuer, ["a.test"])
        r.batch(l2, name_line("a.test", "app1", "a", step(two)))
        for _ in range(4):
            assert edge.leaf("a.test") == two_der
    # The same id with other content: the generation tells.
    three, three_der, l3 = r.cert_line(edge.issuer, ["a.test"], key_id=two)
    r.batch(l3)
    for _ in range(4):
        assert edge.leaf("a.test") == three_der
    r.batch(("delete", "name", "a.test"))
    for _ in range(4):
        assert edge.alert("a.test") == "TLSV1_UNRECOGNIZED_NAME"
    assert edge.workers() == workers


def test_the_cache_is_bounded(make_edge):
    edge = make_edge(change=lambda t: t.replace("postern_cache 96m", "postern_cache 200k"))
    r = edge.replica
    certs = [r.cert_line(edge.issuer, [f"n{i}.test"]) for i in range(60)]
    build(edge, *(c[2] for c in certs),
          *(name_line(f"n{i}.test", "app1", "a", step(c[0])) for i, c in enumerate(certs)))
    for _ in range(2):
        for i, c in enumerate(certs):
            assert edge.leaf(f"n{i}.test") == c[1]
    m = edge.metrics()
    assert m["postern_worker_cache_bytes"] <= 200 * 1024
    assert m["postern_cache_evictions_total"] > 60


# ---- sessions ----

def session_of(edge, sni, context):
    with edge.connect(sni, context) as s:
        edge.request(s, sni, "/.well-known/acme-challenge/test")   # TLS 1.3 tickets come later
        return s.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumption_is_bound_to_the_name(make_edge, version):
    edge = make_edge(workers=2)
    r = edge.replica
    a, _, l1 = r.cert_line(edge.issuer, ["a.test", "b.test"])
    d, d_der, l2 = r.cert_line(edge.issuer, ["*.apps.test"])
    build(edge, l1, l2, ("default", "GEN", step(d)),
          name_line("a.test", "app1", "a", step(a)), name_line("b.test", "app1", "a", step(a)))
    context = edge.context(version)
    session = session_of(edge, "a.test", context)
    for _ in range(4):                       # any worker: the keys are the replica's
        with edge.connect("a.test", context, session) as s:
            assert s.session_reused
    with edge.connect("b.test", context, session) as s:
        assert not s.session_reused
    with edge.connect(None, context, session) as s:
        assert not s.session_reused
    edge.reload()
    with edge.connect("a.test", context, session) as s:
        assert s.session_reused              # and across reloads
    r.batch(("delete", "name", "a.test"))
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        edge.connect("a.test", context, session)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_deleted_name_does_not_resume_as_default(make_edge, version):
    edge = make_edge(change=lambda t: t.replace("postern_unknown_names refuse",
                                                "postern_unknown_names default"))
    r = edge.replica
    a, a_der, l1 = r.cert_line(edge.issuer, ["a.test"])
    d, d_der, l2 = r.cert_line(edge.issuer, ["*.apps.test"])
    build(edge, l1, l2, ("default", "GEN", step(d)), name_line("a.test", "app1", "a", step(a)))
    context = edge.context(version)
    session = session_of(edge, "a.test", context)
    r.batch(("delete", "name", "a.test"))
    with edge.connect("a.test", context, session) as s:
        assert not s.session_reused
        assert s.getpeercert(binary_form=True) == d_der


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_without_a_valid_ticket_key_there_is_no_ticket(make_edge, version):
    edge = make_edge()
    r = edge.replica
    a, _, l1 = r.cert_line(edge.issuer, ["a.test"])
    build(edge, l1, name_line("a.test", "app1", "a", step(a)))
    context = edge.context(version)
    old = session_of(edge, "a.test", context)
    r.batch(("delete", "ticket", "t1"), r.ticket_line("later", time.time() + DAY,
                                                      time.time() + 2 * DAY))
    time.sleep(1.1)                          # keys are read once a second
    session = session_of(edge, "a.test", context)
    assert session is None or not session.has_ticket
    with edge.connect("a.test", context, old) as s:
        assert not s.session_reused          # its key is gone
        assert edge.request(s, "a.test", "/.well-known/acme-challenge/test")[0] == 200
    # A newer key beside the old one: old tickets are good, new ones come from the new key.
    r.batch(r.ticket_line("k1", time.time() - 10, time.time() + DAY))
    time.sleep(1.1)
    first = session_of(edge, "a.test", context)
    r.batch(r.ticket_line("k2", time.time() - 5, time.time() + DAY))
    time.sleep(1.1)
    with edge.connect("a.test", context, first) as s:
        assert s.session_reused
        edge.request(s, "a.test", "/.well-known/acme-challenge/test")
        second = s.session
    r.batch(("delete", "ticket", "k1"))
    time.sleep(1.1)
    with edge.connect("a.test", context, first) as s:
        assert not s.session_reused
    with edge.connect("a.test", context, second) as s:
        assert s.session_reused


def test_one_ticket(make_edge):
    edge = make_edge()
    a, _, l1 = edge.replica.cert_line(edge.issuer, ["a.test"])
    build(edge, l1, name_line("a.test", "app1", "a", step(a)))
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.https}",
                           "-servername", "a.test", "-tls1_3", "-ign_eof", "-quiet", "-msg"],
                          input="GET /.well-known/acme-challenge/test HTTP/1.1\r\nHost: a.test\r\n"
                          "Connection: close\r\n\r\n", capture_output=True, text=True, timeout=20)
    assert done.stdout.count("NewSessionTicket") == 1


def test_another_key_share(make_edge):
    """The client hello comes twice then, and with it the callback."""
    edge = make_edge(change=lambda t: t.replace("ssl_protocols", "ssl_ecdh_curve secp384r1;\n"
                                                "ssl_protocols"))
    r = edge.replica
    a, der, l1 = r.cert_line(edge.issuer, ["a.test"])
    build(edge, l1, name_line("a.test", "app1", "a", step(a)))
    context = edge.context(ssl.TLSVersion.TLSv1_3)
    assert edge.leaf("a.test", context) == der
    session = session_of(edge, "a.test", context)
    with edge.connect("a.test", context, session) as s:
        assert s.session_reused
    assert edge.alert("unknown.test", context) == "TLSV1_UNRECOGNIZED_NAME"


# ---- routing ----

def routed(edge, backend, *more, upstreams=None):
    """a.test on app1 behind the backend, with a certificate."""
    a, der, line = edge.replica.cert_line(edge.issuer, ["a.test"])
    ups = upstreams or [f"u1={backend.address}=1"]
    build(edge, line, ("app", "app1", "GEN", "my-app", *ups),
          name_line("a.test", "app1", "a", step(a)), *more)
    return a


def test_requests_reach_the_app(make_edge, backends):
    edge, b = make_edge(), backends("one")
    routed(edge, b)
    status, _, body = edge.get("a.test", "/x?y=1")
    got = json.loads(body)
    assert status == 200 and got["backend"] == "one" and got["path"] == "/x?y=1"
    status, _, body = edge.get("A.test:80", "/", tls=False)
    assert status == 200 and json.loads(body)["headers"]["host"] == "a.test"
    status, headers, body = edge.get("other.test")
    assert (status, headers["X-Postern-Error"]) == (404, "unknown-host")
    assert b"Unknown host" in body
    done = subprocess.run(["curl", "-sk", "--http2", "-w", "%{http_version} %{http_code}", "-o",
                           "/dev/null", "--resolve", f"a.test:{edge.https}:127.0.0.1",
                           f"https://a.test:{edge.https}/"], capture_output=True, text=True)
    assert done.stdout == "2 200"


def test_forwarded_headers_are_ours(make_edge, backends):
    edge, b = make_edge(), backends("one")
    routed(edge, b)
    lies = {"X-Real-IP": "6.6.6.6", "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "ftp",
            "X-Forwarded-Port": "1", "X-Forwarded-Host": "evil", "Forwarded": "for=6.6.6.6",
            "X-Request-Start": "t=0", "X-Request-ID": "evil id with blanks",
            "X-Custom": "kept"}
    before = time.time()
    _, _, body = edge.get("a.test", tls=True, headers=lies)
    h = json.loads(body)["headers"]
    assert h["x-real-ip"] == h["x-forwarded-for"] == "127.0.0.1"
    assert h["x-forwarded-proto"] == "https"
    assert h["x-forwarded-port"] == str(edge.https)
    assert "x-forwarded-host" not in h and "forwarded" not in h
    assert re.fullmatch(r"[0-9a-f]{32}", h["x-request-id"])
    start = re.fullmatch(r"t=(\d{10}\.\d{3})", h["x-request-start"])
    assert start and abs(float(start.group(1)) - before) < 5
    assert h["x-custom"] == "kept"
    _, _, body = edge.get("a.test", headers={"X-Request-ID": "abc-123_DEF.4"})
    h = json.loads(body)["headers"]
    assert h["x-request-id"] == "abc-123_DEF.4"
    assert (h["x-forwarded-proto"], h["x-forwarded-port"]) == ("http", str(edge.http))


def test_several_upstreams_by_weight(make_edge, backends):
    edge, one, two = make_edge(), backends("one"), backends("two")
    routed(edge, None, upstreams=[f"u1={one.address}=3", f"u2={two.address}=1"])
    said = [json.loads(edge.get("a.test")[2])["backend"] for _ in range(40)]
    assert said.count("one") == 30 and said.count("two") == 10
    # One of them dies: nobody notices, and after the first try it is passed over.
    two.stop()
    said = [json.loads(edge.get("a.test")[2])["backend"] for _ in range(20)]
    assert said == ["one"] * 20
    m = edge.metrics()
    assert 1 <= m["postern_upstream_failures_total"] <= 2
    # Both dead: 502, and back when one is back in the replica.
    one.stop()
    assert edge.get("a.test")[0] == 502
    three = backends("three")
    edge.replica.batch(("app", "app1", "GEN", "my-app", f"u3={three.address}=1"))
    assert edge.get("a.test")[0] == 200


def upgraded(sock):
    sock.sendall(b"GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: WebSocket\r\n"
                 b"Connection: Upgrade\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1000)
    assert head.startswith(b"HTTP/1.1 101 ")


def test_a_draining_upstream_ends_what_it_has(make_edge, backends):
    edge, one, two = make_edge(), backends("one"), backends("two")
    routed(edge, one)
    with edge.connect("a.test") as ws, edge.connect("a.test") as s:
        upgraded(ws)
        s.sendall(b"GET /stream HTTP/1.1\r\nHost: a.test\r\n\r\n")
        got = b""
        while b"first" not in got:
            got += s.recv(1000)
        edge.replica.batch(("app", "app1", "GEN", "my-app", f"u1={one.address}=1=drain",
                            f"u2={two.address}=1"))
        said = [json.loads(edge.get("a.test")[2])["backend"] for _ in range(10)]
        assert said == ["two"] * 10
        # All of them drain: no new request anywhere.
        edge.replica.batch(("app", "app1", "GEN", "my-app", f"u1={one.address}=1=drain",
                            f"u2={two.address}=1=drain"))
        status, headers, _ = edge.get("a.test")
        assert (status, headers["X-Postern-Error"]) == (503, "no-upstream")
        # What was under way ends where it began.
        ws.sendall(b"still")
        assert ws.recv(1000) == b"echo:still"
        one.seen.set()
        while b"0\r\n\r\n" not in got:
            part = s.recv(1000)
            assert part, got
            got += part
        assert b"second" in got
    edge.replica.batch(("app", "app1", "GEN", "my-app", f"u1={one.address}=1"))
    assert json.loads(edge.get("a.test")[2])["backend"] == "one"


def test_connections_to_upstreams_are_kept(make_edge, backends):
    edge, b, other = make_edge(), backends("one"), backends("two")
    routed(edge, b, ("app", "app2", "GEN", "other", f"u1={b.address}=1"),
           name_line("b.test", "app2"))
    for _ in range(10):
        assert edge.get("a.test")[0] == 200
    assert b.connections == 1
    assert edge.get("b.test")[0] == 200      # the same address for another app: its own socket
    assert b.connections == 2
    # POST bodies, then the idle connection dies unseen: a GET is simply tried again.
    with socket.create_connection(("127.0.0.1", edge.http), timeout=5) as s:
        assert json.loads(edge.request(s, "a.test", "/", "POST", body=b"x" * 300000)[2])["got"] \
            == 300000
    b.drop_connections()
    assert edge.get("a.test")[0] == 200
    # The app's record changes: its idle connections are closed.
    idle = edge.metrics()["postern_worker_idle_connections"]
    assert idle >= 1
    before = other.connections
    edge.replica.batch(("app", "app1", "GEN", "my-app", f"u9={other.address}=1"))
    assert json.loads(edge.get("a.test")[2])["backend"] == "two"
    assert other.connections == before + 1


def test_idle_connections_are_bounded(make_edge, backends):
    edge = make_edge(change=lambda t: t.replace("keepalive=16 keepalive_max=1024",
                                                "keepalive=2 keepalive_max=3"))
    bs = [backends(f"b{i}") for i in range(4)]
    routed(edge, bs[0], *(("app", f"x{i}", "GEN", "x", f"u={b.address}=1")
                          for i, b in enumerate(bs)),
           *(name_line(f"x{i}.test", f"x{i}") for i in range(4)))
    for _ in range(3):
        for i in range(4):
            assert edge.get(f"x{i}.test")[0] == 200
    assert edge.metrics()["postern_worker_idle_connections"] == 3


def test_app_without_upstreams(make_edge):
    edge = make_edge()
    build(edge, ("app", "app1", "GEN", "my-app"), name_line("a.test", "app1"),
          name_line("b.test", "gone"))
    for host in ("a.test", "b.test"):
        status, headers, body = edge.get(host)
        assert (status, headers["X-Postern-Error"]) == (503, "no-upstream")


def test_never_to_ourselves_or_link_local(make_edge, backends):
    edge, b = make_edge(), backends("one")
    bad = [f"127.0.0.1:{edge.http}", f"127.0.0.1:{edge.https}", "169.254.169.254:80",
           "0.0.0.0:80", "[::]:80", "[fe80::1]:80", f"[::ffff:127.0.0.1]:{edge.http}",
           "224.0.0.1:80", "localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999"]
    build(edge, *(("app", f"x{i}", "GEN", "x", f"u={a}=1") for i, a in enumerate(bad)),
          *(name_line(f"x{i}.test", f"x{i}") for i in range(len(bad))),
          ("app", "ok", "GEN", "x", f"u={bad[0]}=1", f"v={b.address}=1"),
          name_line("ok.test", "ok"))
    for i, a in enumerate(bad):
        status, headers, _ = edge.get(f"x{i}.test")
        assert (status, headers.get("X-Postern-Error")) == (503, "no-upstream"), a
    assert edge.get("ok.test")[0] == 200
    assert edge.metrics()["postern_upstream_addresses_refused_total"] == len(bad) + 1


def test_websocket(make_edge, backends):
    edge, b = make_edge(), backends("one")
    routed(edge, b)
    with edge.connect("a.test") as s:
        upgraded(s)
        for word in (b"hello", b"again"):
            s.sendall(word)
            assert s.recv(1000) == b"echo:" + word
    # Any other upgrade is not passed on.
    _, _, body = edge.get("a.test", headers={"Upgrade": "h2c", "Connection": "Upgrade"})
    assert "upgrade" not in json.loads(body)["headers"]


def test_answers_are_streamed(make_edge, backends):
    edge, b = make_edge(), backends("one")
    routed(edge, b)
    with edge.connect("a.test") as s:
        s.sendall(b"GET /stream HTTP/1.1\r\nHost: a.test\r\n\r\n")
        got = b""
        while b"first" not in got:
            got += s.recv(1000)
        assert b"second" not in got
        b.seen.set()
        while b"0\r\n\r\n" not in got:
            got += s.recv(1000)
    assert b"second" in got


def test_misdirected_requests(make_edge, backends):
    edge, b = make_edge(), backends("one")
    r = edge.replica
    both, _, l1 = r.cert_line(edge.issuer, ["a.test", "b.test"])
    own, _, l2 = r.cert_line(edge.issuer, ["c.test"])
    d, _, l3 = r.cert_line(edge.issuer, ["*.apps.test"])
    build(edge, l1, l2, l3, ("default", "GEN", step(d)),
          ("app", "app1", "GEN", "x", f"u={b.address}=1"),
          name_line("a.test", "app1", "a", step(both)),
          name_line("b.test", "app1", "a", step(both)),
          name_line("c.test", "app1", "a", step(own)),
          name_line("one.apps.test", "app1", "-"), name_line("two.apps.test", "app1", "-"))

    def status(sni, host, session=None, context=None):
        with edge.connect(sni, context, session) as s:
            return edge.request(s, host)[0]

    assert status("a.test", "a.test") == 200
    assert status("a.test", "b.test") == 200            # the same certificate
    assert status("a.test", "c.test") == 421
    assert status("c.test", "a.test") == 421
    assert status("one.apps.test", "two.apps.test") == 200
    assert status(None, "one.apps.test") == 200         # covered by the default
    assert status(None, "a.test") == 421
    assert status("a.test", "nowhere.test") == 404
    # On a resumed TLS 1.3 session there is no certificate to look at.
    context = edge.context(ssl.TLSVersion.TLSv1_3)
    session = session_of(edge, "a.test", context)
    assert status("a.test", "b.test", session, context) == 200
    assert status("a.test", "c.test", session, context) == 421
    # Now b gets one of its own: what was fine before is misdirected now.
    r.batch(name_line("b.test", "app1", "a", step(own)))
    assert status("a.test", "b.test") == 421
    assert edge.get("c.test")[0] == 200                 # without TLS there is nothing to direct


# ---- challenges ----

# ---- canonical domain, force HTTPS ----

def redirect_edge(make_edge, backends, extra=(), change=None):
    """force.test forces HTTPS; old.test and shop.apps.test go to www.test; bare.test has no
    certificate of its own, away.test a canonical domain without one."""
    edge = make_edge(change=change)
    r, b = edge.replica, backends("one")
    d, _, d_line = r.cert_line(edge.issuer, ["*.apps.test"])
    f, _, f_line = r.cert_line(edge.issuer, ["force.test", "*.wild.test", "both.test"])
    w, _, w_line = r.cert_line(edge.issuer, ["www.test"])
    o, _, o_line = r.cert_line(edge.issuer, ["other.test"])
    build(edge, d_line, f_line, w_line, o_line, ("default", "GEN", step(d)),
          ("app", "app1", "GEN", "app-one", f"u1={b.address}=1"),
          name_line("force.test", "app1", "af", step(f)),
          name_line("*.wild.test", "app1", "af", step(f)),
          name_line("down.wild.test", "app3", "af", step(f)),
          name_line("shop.apps.test", "app1", "f"),
          name_line("bare.test", "app1", "af"),
          name_line("wrong.test", "app1", "af", step(o)),
          name_line("over.test", "app1", "af", step(f, 0, NOW - DAY)),
          name_line("www.test", "app1", "a", step(w)),
          ("name", "old.test", "GEN", "app1", "a", "www.test"),
          ("name", "both.test", "GEN", "app1", "af", "www.test", step(f)),
          ("name", "away.test", "GEN", "app1", "a", "bare.test"),
          ("name", "gone.test", "GEN", "app1", "a", "nowhere.test"),
          ("name", "theirs.test", "GEN", "app2", "a", "www.test"),
          ("name", "self.test", "GEN", "app1", "a", "self.test", step(f)), *extra)
    return edge


HSTS = "Strict-Transport-Security"


def test_force_https(make_edge, backends):
    edge = redirect_edge(make_edge, backends)
    https = f"https://force.test:{edge.https}"
    for path in ("/", "/a/b?c=d&e=%2F", "/a/..//x?", "/%0d%0aX:y"):
        status, headers, _ = edge.get("force.test", path)
        assert (status, headers["Location"]) == (301, https + path)
        assert HSTS not in headers
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, _ = edge.get("force.test", "/x", method=method)
        assert (status, headers["Location"]) == (301, https + "/x")
    for host in ("FORCE.test", "force.test:81", "force.test.", "force.test:99999"):
        assert raw(edge, f"GET /h HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")[1] == \
            https + "/h"
    status, headers, body = edge.get("force.test", "/in", tls=True)
    assert status == 200 and json.loads(body)["path"] == "/in"
    assert headers[HSTS] == "max-age=31536000"
    m = edge.metrics()
    assert m['postern_requests_total{outcome="forced_https"}'] == 13


def test_hsts_of_the_app_stays(make_edge, backends):
    edge = redirect_edge(make_edge, backends)
    with edge.connect("force.test") as s:
        s.sendall(b"GET /?hsts=max-age=5 HTTP/1.1\r\nHost: force.test\r\nConnection: close\r\n\r\n")
        text = s.makefile("rb").read().decode().lower()
    assert text.count("strict-transport-security") == 1 and "max-age=5\r\n" in text
    for host in ("www.test", "bare.test"):
        assert HSTS not in edge.get(host)[1]
    assert HSTS not in edge.get("www.test", tls=True)[1]


def test_force_waits_for_a_certificate_that_covers(make_edge, backends):
    edge = redirect_edge(make_edge, backends)
    for host in ("bare.test", "wrong.test", "over.test"):
        assert edge.get(host)[0] == 200, host
    assert HSTS not in edge.get("wrong.test", tls=True)[1]
    # Covered by the platform's default, or by a wildcard.
    for host in ("shop.apps.test", "x.wild.test"):
        status, headers, _ = edge.get(host, "/p?q")
        assert (status, headers["Location"]) == (301, f"https://{host}:{edge.https}/p?q")
        assert HSTS in edge.get(host, tls=True)[1]
    status, headers, _ = edge.get("down.wild.test", tls=True)  # also on answers of the edge's own
    assert (status, headers["X-Postern-Error"]) == (503, "no-upstream") and HSTS in headers


def test_canonical_domain(make_edge, backends):
    edge = redirect_edge(make_edge, backends)
    status, headers, _ = edge.get("old.test", "/a?b=c")
    assert (status, headers["Location"]) == (301, f"http://www.test:{edge.http}/a?b=c")
    assert headers["Cache-Control"] == "no-cache" and HSTS not in headers
    # With force HTTPS there is one redirect, not two; over TLS it stays there.
    for tls in (False, True):
        status, headers, _ = edge.get("both.test", "/a", tls=tls)
        assert (status, headers["Location"]) == (301, f"https://www.test:{edge.https}/a")
        assert (HSTS in headers) == tls
    assert edge.get("www.test")[0] == edge.get("www.test", tls=True)[0] == 200
    # Not served, unknown, of another app, or the name itself.
    for host in ("away.test", "gone.test", "self.test"):
        assert edge.get(host)[0] == 200, host
    assert edge.get("theirs.test")[0] == 503
    # It waits no longer once the certificate is there.
    n, _, line = edge.replica.cert_line(edge.issuer, ["bare.test"])
    edge.replica.batch(line, name_line("bare.test", "app1", "a", step(n)))
    assert edge.get("away.test")[0] == 301


def test_challenges_and_unknown_hosts_come_before_redirects(make_edge, backends):
    token = ("challenge", "tok_1", "GEN", "force.test", "tok_1.print", NOW + 1000)
    edge = redirect_edge(make_edge, backends, [token])
    well_known = "/.well-known/acme-challenge/"
    for host in ("force.test", "old.test"):
        assert edge.get(host, well_known + "test")[2] == b"test"
    assert edge.get("force.test", well_known + "tok_1")[2] == b"tok_1.print"
    assert edge.get("force.test", well_known + "foreign")[0] == 301
    assert edge.get("unknown.test")[0] == 404
    with edge.connect("www.test") as s:
        assert edge.request(s, "both.test", "/")[0] == 421


def test_redirects_of_odd_requests(make_edge, backends):
    edge = redirect_edge(make_edge, backends)
    https = f"https://force.test:{edge.https}"
    end = "Host: force.test\r\nConnection: close\r\n\r\n"
    assert raw(edge, f"GET http://force.test?q HTTP/1.1\r\n{end}") == (301, https + "/?q")
    assert raw(edge, f"GET http://force.test/abs HTTP/1.1\r\n{end}") == (301, https + "/abs")
    assert raw(edge, f"GET /\u00e9\"<> HTTP/1.1\r\n{end}") == (301, https + "/%C3%A9%22%3C%3E")
    assert raw(edge, f"GET /old HTTP/1.0\r\n{end}") == (301, https + "/old")
    assert raw(edge, "GET / HTTP/1.0\r\n\r\n")[0] == 404
    for host in ("", "a b", "force.test/x", "..", "force.test, www.test", "[::1]"):
        assert raw(edge, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")[0] \
            in (400, 404), host
    # A body that nobody reads, and what comes behind it on the connection.
    with socket.create_connection(("127.0.0.1", edge.http), timeout=5) as s:
        s.sendall(b"POST /p HTTP/1.1\r\nHost: force.test\r\nContent-Length: 5\r\n\r\nhello"
                  b"GET /next HTTP/1.1\r\n" + end.encode())
        text = s.makefile("rb").read().decode()
    assert text.count("HTTP/1.1 301") == 2 and f"Location: {https}/next" in text
    long = "/" + "x" * 7000
    assert edge.get("force.test", long)[1]["Location"] == https + long


def test_usual_ports_are_not_written(make_edge, backends):
    edge = redirect_edge(make_edge, backends, change=lambda text: re.sub(
        r"postern_public_\w+_port \d+;", "", text))
    assert edge.get("force.test", "/x")[1]["Location"] == "https://force.test/x"
    assert edge.get("old.test", "/x")[1]["Location"] == "http://www.test/x"


def test_redirects_over_h2(make_edge, backends):
    edge = redirect_edge(make_edge, backends)
    done = subprocess.run(["curl", "-sk", "--http2", "-D-", "-o/dev/null", "--resolve",
                           f"both.test:{edge.https}:127.0.0.1",
                           f"https://both.test:{edge.https}/h2?x=1"],
                          capture_output=True, text=True, timeout=20)
    assert done.stdout.startswith("HTTP/2 301")
    assert f"location: https://www.test:{edge.https}/h2?x=1\n" in done.stdout.replace("\r", "")
    assert done.stdout.count("strict-transport-security: max-age=31536000") == 1


def raw(edge, text):
    """(status, Location or None) of a request as it is written."""
    with socket.create_connection(("127.0.0.1", edge.http), timeout=5) as s:
        s.sendall(text.encode())
        answer = s.makefile("rb").read().decode(errors="replace")
    found = re.search(r"\nLocation: (\S+)", answer)
    return int(answer.split()[1]), found and found[1]


def test_challenges(make_edge, backends):
    edge, b = make_edge(), backends("one")
    r = edge.replica
    probe_key = os.urandom(32)
    routed(edge, b, ("probe", "GEN", r.seal("meta/probe", probe_key)),
           name_line("b.test", "app1"),
           ("challenge", "tok_en-1", "GEN", "a.test", "tok_en-1.thumb", int(time.time() + 60)),
           ("challenge", "over", "GEN", "a.test", "over.thumb", int(time.time() - 5)))
    base = "/.well-known/acme-challenge/"
    for tls in (False, True):
        status, headers, body = edge.get("a.test", base + "tok_en-1", tls=tls)
        assert (status, body) == (200, b"tok_en-1.thumb")
        assert headers["Content-Type"] == "text/plain"
        assert edge.get("a.test", base + "test", tls=tls)[2] == b"test"
    assert edge.get("nobody.test", base + "test")[2] == b"test"
    # Not ours: to the app.
    for host, token in (("b.test", "tok_en-1"), ("a.test", "over"), ("a.test", "unknown"),
                        ("a.test", "tok_en-1/x"), ("a.test", "")):
        status, _, body = edge.get(host, base + token)
        assert json.loads(body)["backend"] == "one", (host, token)
    assert json.loads(edge.get("a.test", base + "tok_en-1", method="POST", body=b"x")[2])["got"] == 1
    assert edge.get("nobody.test", base + "tok_en-1")[0] == 404
    # The probe: for any name, also one that is not in the replica yet.
    for host in ("a.test", "pending.test"):
        body = edge.get(host, base + "postern-Nonce_1")[2].decode()
        assert body == edge.probe(probe_key, host, "Nonce_1")
    # Of a name that comes and goes.
    r.batch(("challenge", "new", "GEN", "a.test", "new.thumb", int(time.time() + 60)))
    assert edge.get("a.test", base + "new")[2] == b"new.thumb"
    r.batch(("delete", "challenge", "new"))
    assert json.loads(edge.get("a.test", base + "new")[2])["backend"] == "one"
    done = subprocess.run(["curl", "-sk", "--http2", "--resolve",
                           f"a.test:{edge.https}:127.0.0.1",
                           f"https://a.test:{edge.https}{base}tok_en-1"],
                          capture_output=True, text=True)
    assert done.stdout == "tok_en-1.thumb"


# ---- survival ----

def test_the_replica_may_come_later(make_edge, backends):
    edge, b = make_edge(), backends("one")
    assert edge.alert("a.test") in ("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_UNRECOGNIZED_NAME")
    status, headers, _ = edge.get("a.test")
    assert (status, headers["X-Postern-Error"]) == (503, "no-replica")
    assert edge.get("a.test", "/.well-known/acme-challenge/test")[2] == b"test"
    routed(edge, b)
    wait_for("the replica to be seen", lambda: edge.get("a.test")[0] == 200, 5)
    edge.leaf("a.test")


def test_a_new_build_takes_over_at_once(make_edge, backends):
    edge, one, two = make_edge(workers=2), backends("one"), backends("two")
    routed(edge, one)
    for _ in range(6):
        assert json.loads(edge.get("a.test")[2])["backend"] == "one"
    workers = edge.workers()
    for i in range(3):
        b = (two, one)[i % 2]
        edge.replica.rev = 0 if i == 1 else edge.replica.rev   # a restored backup counts anew
        edge.replica.epoch = f"epoch-{i + 2}"
        a, der, line = edge.replica.cert_line(edge.issuer, ["a.test"], key_id=1)
        build(edge, line, ("app", "app1", "GEN", "my-app", f"u1={b.address}=1"),
              name_line("a.test", "app1", "a", step(1)))
        for _ in range(6):
            assert json.loads(edge.get("a.test")[2])["backend"] == b.name
            assert edge.leaf("a.test") == der
    edge.replica.say("prune")
    assert edge.get("a.test")[0] == 200
    assert edge.workers() == workers


def test_a_replica_that_is_taken_away(make_edge, backends):
    edge, b = make_edge(), backends("one")
    routed(edge, b)
    der = edge.leaf("a.test")
    assert edge.get("a.test")[0] == 200
    edge.replica.say("close")
    shutil.rmtree(edge.root)
    for _ in range(3):
        assert edge.leaf("a.test") == der
        assert edge.get("a.test")[0] == 200
        time.sleep(0.6)
    edge.reload()                            # new workers know nothing
    assert edge.get("a.test")[0] == 503
    routed(edge, b)
    wait_for("the new replica", lambda: edge.get("a.test")[0] == 200, 5)


def data_file(edge):
    return (edge.root / "v1" / "current").resolve() / "data.mdb"


def test_a_file_that_is_cut_off(make_edge, backends):
    edge, b = make_edge(), backends("one")
    routed(edge, b)
    der = edge.leaf("a.test")
    assert edge.get("a.test")[0] == 200
    workers = edge.workers()
    edge.replica.say("close")
    data_file(edge).write_bytes(b"")
    for _ in range(5):
        assert edge.leaf("a.test") == der    # from the cache
        assert edge.get("a.test")[0] == 200
    m = edge.metrics()
    assert m["postern_replica_faults_total"] >= 1
    assert m['postern_certificate_cache_total{result="stale"}'] >= 1
    assert edge.alert("never.seen.test")
    routed(edge, b)                          # what the edge does then: a new build
    wait_for("the new build", lambda: edge.leaf("a.test") != der, 5)
    assert edge.workers() == workers


def test_random_damage(make_edge, backends):
    edge, b = make_edge(workers=2), backends("one")
    r = edge.replica
    certs = [r.cert_line(edge.issuer, [f"n{i}.test"]) for i in range(30)]
    routed(edge, b, *(c[2] for c in certs),
           *(name_line(f"n{i}.test", "app1", "a", step(c[0])) for i, c in enumerate(certs)))
    r.say("close")
    data = data_file(edge)
    good = data.read_bytes()
    workers = edge.workers()
    rnd = random.Random(20261120)
    answered = 0
    for turn in range(25):
        bad = bytearray(good)
        for _ in range(20):
            at = rnd.randrange(len(bad))
            if turn % 2:                     # headers of pages, where LMDB trips
                at = at // 4096 * 4096 + rnd.randrange(24)
            bad[at] ^= 1 << rnd.randrange(8)
        with open(data, "r+b") as f:
            f.write(bad)
        for i in rnd.sample(range(30), 8):
            try:
                assert edge.leaf(f"n{i}.test") == certs[i][1]
                answered += 1
            except (ssl.SSLError, ConnectionError):
                pass
            assert edge.get(f"n{i}.test")[0] in (200, 404, 503)
    assert answered > 20
    assert edge.workers() == workers         # not one of them died
    with open(data, "r+b") as f:
        f.write(good)
    wait_for("recovery", lambda: all(edge.leaf(f"n{i}.test") == certs[i][1] for i in range(30)), 10)
    assert "signal" not in edge.log.read_text()


def test_a_killed_worker_is_replaced_and_its_slot_found(make_edge, backends):
    edge, b = make_edge(), backends("one")
    routed(edge, b)
    assert edge.get("a.test")[0] == 200
    old = edge.workers()
    os.kill(int(old[0]), signal.SIGKILL)
    wait_for("a new worker", lambda: edge.workers() and edge.workers() != old)
    wait_for("it serves", lambda: edge.get("a.test")[0] == 200)


def test_worker_with_its_own_user(make_edge, backends):
    if os.geteuid() != 0:
        pytest.skip("needs root, to have workers of another user")
    edge, b = make_edge(worker_user="www-data"), backends("one")
    routed(edge, b)
    wait_for("the replica", lambda: edge.get("a.test", tls=True)[0] == 200, 5)
    edge.replica.say("begin")
    edge.replica.say("drop")
    build(edge)
    wait_for("the next build", lambda: edge.get("a.test")[0] == 404, 5)


# ---- configuration ----

@pytest.mark.parametrize("old,new,said", [
    ("postern on;", "postern on; ssl_certificate $ssl_server_name.pem;"
     " ssl_certificate_key $ssl_server_name.pem;", "exclude each other"),
    ("postern on;", "postern on; ssl_reject_handshake on;", "exclude each other"),
    ("postern on;", "postern on; ssl_early_data on;", "exclude each other"),
    ("postern_replica", "#", "needs \"postern_replica\""),
    ("postern_key_file", "#", "needs \"postern_replica\" and \"postern_key_file\""),
    ("local.key;", "missing.key;", "cannot open the key file"),
    ("postern_upstream keepalive=16", "postern_upstream keepalive=x", "invalid parameter"),
    ("postern_unknown_names refuse", "postern_unknown_names perhaps", "invalid value"),
])
def test_mistakes_in_the_configuration(make_edge, old, new, said):
    edge = make_edge(change=lambda t: t.replace(old, new), start=False)
    assert said in (edge.check() or "")


def test_the_key_file_must_be_private(make_edge):
    edge = make_edge(start=False)
    assert edge.check() is None
    edge.key_file.chmod(0o644)
    assert "chmod 0600" in edge.check()
    edge.key_file.chmod(0o600)
    edge.key_file.write_bytes(b"short")
    assert "exactly 32 bytes" in edge.check()


def test_another_server_block_on_the_address(make_edge, tmp_path):
    """With a certificate file of its own, beside the module: the control plane's API."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-subj",
                    "/CN=api.test", "-keyout", tmp_path / "k.pem", "-out", tmp_path / "c.pem"],
                   check=True, capture_output=True)

    def add(text, default=""):
        listen = re.search(r"listen (127\.\S+) ssl", text).group(1)
        block = (f"server {{ listen {listen} ssl http2{default}; server_name api.test;"
                 f" ssl_certificate {tmp_path}/c.pem; ssl_certificate_key {tmp_path}/k.pem;"
                 f" location / {{ return 204; }} }}\n")
        end = text.rindex("}")
        return text[:end] + block + text[end:]

    edge = make_edge(change=add)
    with edge.connect("api.test") as s:      # with no replica at all
        assert edge.request(s, "api.test")[0] == 204
    wrong = make_edge(change=lambda t: add(t.replace(" ssl http2 default_server", " ssl http2"),
                                           " default_server"), start=False)
    assert "must be the default_server" in wrong.check()
    verify = make_edge(change=lambda t: add(t).replace(
        "server_name api.test;", "server_name api.test; ssl_verify_client optional_no_ca;"),
        start=False)
    assert "ssl_verify_client" in verify.check()
