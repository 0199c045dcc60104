"""Wildcard domains at the edge: which names one serves, what wins over it, how it ends."""

import json
import re
import socket
import ssl
import time

import pytest

from certs import Authority
from client import Client, Failed
from stack import wait_for

APP, OTHER = "wild", "exact"
HSTS = "Strict-Transport-Security"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def ca(shared):
    return Authority(shared.stack.dir / "own-ca")


@pytest.fixture(scope="module")
def apps(shared):
    """Two apps of one owner; what the second one answers says that it was the second."""
    shared.app(APP)
    shared.app(OTHER)
    return APP, OTHER


_zones = [0]


@pytest.fixture
def zone(shared, apps, ca):
    """A zone of the test's own with a wildcard certificate: (zone, certificate in DER)."""
    _zones[0] += 1
    name = f"zone{_zones[0]}.test"
    yield name, wildcard(shared, ca, name)
    shared.cli("domains-remove", f"*.{name}", app=APP, check=False)


def wildcard(shared, ca, zone, seconds=90 * 86400, verb="domains-add"):
    cert, key = ca.leaf(f"*.{zone}", seconds=seconds)
    if verb == "domains-add":
        shared.cli(verb, "--no-letsencrypt", "--cert", cert, "--key", key, f"*.{zone}", app=APP)
    else:
        shared.cli(verb, "--cert", cert, "--key", key, f"*.{zone}", app=APP)
    return ca.der(cert)


def custom(shared, ca, name, app=OTHER, **how):
    cert, key = ca.leaf(name, **how)
    shared.cli("domains-add", "--no-letsencrypt", "--cert", cert, "--key", key, name, app=app)
    return ca.der(cert)


def default_of(shared):
    return shared.leaf(f"{APP}.{shared.env['REGION']}.{shared.env['PLATFORM_DOMAIN']}")


def refused(shared, name):
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        shared.leaf(name)
    return True


def port(shared, scheme):
    return shared.env[f"EDGE_{scheme}_1"].rsplit(":", 1)[1]


class Connection:
    """One TLS connection, kept open, for requests with any Host."""

    def __init__(self, shared, sni, version=None, session=None):
        host, https = shared.env["EDGE_HTTPS_1"].rsplit(":", 1)
        self.context = context_of(version) if not isinstance(version, ssl.SSLContext) else version
        raw = socket.create_connection((host, int(https)), timeout=10)
        try:
            self.sock = self.context.wrap_socket(raw, server_hostname=sni, session=session)
        except BaseException:
            raw.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def ask(self, host, path="/"):
        """(status, body), without closing the connection."""
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        text = b""
        while b"\r\n\r\n" not in text:
            text += self._more()
        head, body = text.split(b"\r\n\r\n", 1)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields[b"content-length"]):
            body += self._more()
        return int(head.split()[1]), body

    def _more(self):
        got = self.sock.recv(4096)
        assert got, "the edge closed the connection"
        return got

    def session(self, host):
        """TLS 1.3 sends its ticket after the handshake: with the first answer it is there."""
        self.ask(host, "/.well-known/acme-challenge/test")
        return self.sock.session


def context_of(version):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


# ---- which names ----


def test_any_one_label_below_and_nothing_else(shared, zone, ca):
    zone, cert = zone
    root = ca.dir / "root.pem"
    for label in ("a", "www", "0", "a-b", "xn--bcher-kva", "x" * 63):
        name = f"{label}.{zone}"
        assert shared.leaf(name) == cert
        status, _, body = shared.https(name, root=root)
        assert status == 200 and json.loads(body)["hello"] == name
        assert shared.http(name)[0] == 200
    for name in (zone, f"a.b.{zone}", f"a.b.c.{zone}", f"not{zone}", f"a.not{zone}", "test"):
        assert refused(shared, name)
        assert shared.http(name)[0] == 404
        assert shared.http(name)[1]["X-Postern-Error"] == "unknown-host"


def test_names_are_compared_without_case_and_final_dot(shared, zone):
    zone, cert = zone
    assert shared.leaf(f"WWW.{zone.upper()}") == cert
    for host in (f"WWW.{zone.upper()}", f"www.{zone}.", f"Www.{zone}:{port(shared, 'HTTP')}"):
        assert shared.http(host)[0] == 200
    with Connection(shared, f"www.{zone}") as c:
        assert c.ask(f"WWW.{zone}.")[0] == 200


def test_the_star_itself_is_not_a_host(shared, zone):
    zone, _ = zone
    assert refused(shared, f"*.{zone}")
    assert shared.http(f"*.{zone}")[0] in (400, 404)
    assert shared.http(f".{zone}")[0] in (400, 404)


def test_a_label_with_an_underscore_is_served_too(shared, zone):
    """No name of a domain, but browsers ask for it, and there is nothing to confuse it with."""
    zone, cert = zone
    assert shared.leaf(f"a_b.{zone}") == cert
    assert shared.http(f"a_b.{zone}")[0] == 200


# ---- what wins over it ----


def test_an_exact_name_wins(shared, zone, ca):
    """Certificate and route, in another app of the owner; the others stay as they are."""
    zone, cert = zone
    name = f"shop.{zone}"
    own = custom(shared, ca, name)
    assert shared.leaf(name) == own and shared.leaf(f"a.{zone}") == cert
    routes = shared.stack.dir / "edge1" / "nginx" / "access.log"
    shared.https(name, "/exact", root=ca.dir / "root.pem")
    shared.https(f"a.{zone}", "/wild", root=ca.dir / "root.pem")

    def logged(path):
        lines = [line.split() for line in routes.read_text().splitlines() if f"GET {path} " in line]
        return {(line[1], line[2]) for line in lines}

    wait_for("the log", lambda: logged("/exact") and logged("/wild"))
    assert {host for host, _ in logged("/exact")} == {name}
    assert logged("/exact").isdisjoint(logged("/wild"))
    assert {app for _, app in logged("/exact")} != {app for _, app in logged("/wild")}
    # Without the exact name the wildcard has it back.
    shared.cli("domains-remove", name, app=OTHER)
    wait_for("the wildcard", lambda: shared.leaf(name) == cert, 5)
    assert shared.http(name)[0] == 200


def test_a_deeper_wildcard_wins_below_it(shared, zone, ca):
    zone, cert = zone
    deeper = custom(shared, ca, f"*.sub.{zone}")
    assert shared.leaf(f"a.sub.{zone}") == deeper
    assert shared.leaf(f"sub.{zone}") == cert
    assert refused(shared, f"a.b.sub.{zone}")
    shared.cli("domains-remove", f"*.sub.{zone}", app=OTHER)


# ---- a step of the ladder of the names it covers ----


def test_it_is_the_step_below_the_names_own(shared, zone, ca):
    """Own ACME, then the wildcard, then the default; each takes over at the second."""
    zone, cert = zone
    name = f"late.{zone}"
    shared.cli("domains-add", "--no-letsencrypt", name, app=OTHER)
    assert shared.leaf(name) == cert
    taken = [s["origin"] for s in shared.explain(OTHER, name)["ladder"] if s["taken"]]
    assert taken == ["wildcard"]
    own, key = ca.leaf(name, seconds=6)
    end = ca.not_after(name)
    shared.cli("domains-ssl", "--cert", own, "--key", key, name, app=OTHER)
    assert shared.leaf(name) == ca.der(own)
    time.sleep(max(0, end - time.time()))
    assert shared.leaf(name) == cert
    shared.cli("domains-remove", f"*.{zone}", app=APP)
    wait_for("the default", lambda: shared.leaf(name) == default_of(shared), 5)
    shared.cli("domains-remove", name, app=OTHER)


def test_an_expired_wildcard_is_passed_over(shared, apps, ca):
    zone, name = "short.wild.test", "exact.short.wild.test"
    shared.add(OTHER, name)
    acme = shared.leaf(name)
    cert = wildcard(shared, ca, zone, seconds=8)
    end = ca.not_after(f"_.{zone}")
    shared.cli("domains-add", "--no-letsencrypt", f"bare.{zone}", app=OTHER)
    assert shared.leaf(f"bare.{zone}") == shared.leaf(f"any.{zone}") == cert
    assert shared.leaf(name) == acme
    time.sleep(max(0, end - time.time()))
    default = default_of(shared)
    assert shared.leaf(f"any.{zone}") == shared.leaf(f"bare.{zone}") == default
    assert shared.leaf(name) == acme
    # A renewed one is there at once, for all of them.
    cert = wildcard(shared, ca, zone, verb="domains-ssl")
    assert shared.leaf(f"any.{zone}") == shared.leaf(f"bare.{zone}") == cert
    for domain, app in ((f"*.{zone}", APP), (f"bare.{zone}", OTHER), (name, OTHER)):
        shared.cli("domains-remove", domain, app=app)


def add_with_proof(client, name, *flags, app):
    """With the record that proves to the platform whose name it is."""
    with pytest.raises(Failed) as refused:
        client.cli("domains-add", "--no-letsencrypt", *flags, name, app=app)
    record = re.search(r'(_postern-challenge\.\S+) TXT "([^"]+)"', str(refused.value))
    client.stack.dns("set-txt", host=record[1].rstrip(".") + ".", value=record[2])
    client.cli("domains-add", "--no-letsencrypt", *flags, name, app=app)


def test_it_is_no_step_of_another_tenants_name(shared, zone):
    """Whoever has proved the zone may have both: nobody is served with a stranger's key."""
    zone, cert = zone
    shared.cli("domains-remove", f"*.{zone}", app=APP)
    user = shared.stack.call("POST", "/v1/users", {"user": {
        "username": "bob", "email": "bob@example.com", "role": "tenant"}})
    bob = Client(shared.stack)
    bob.env = {**shared.env, "POSTERN_TOKEN": user["token"]}
    bob.cli("create", "bobs")
    shared.cli("upstreams-set", shared.env["BACKEND"], app="bobs")
    add_with_proof(bob, f"bob.{zone}", app="bobs")
    path = shared.stack.dir / "own-ca" / f"_.{zone}"
    add_with_proof(shared, f"*.{zone}", "--cert", f"{path}.crt", "--key", f"{path}.key", app=APP)
    assert shared.leaf(f"a.{zone}") == cert
    assert shared.leaf(f"bob.{zone}") == default_of(shared)
    ladder = bob.explain("bobs", f"bob.{zone}")["ladder"]
    assert [s["origin"] for s in ladder if s["taken"]] == ["default"]
    with Connection(shared, f"bob.{zone}") as c:
        assert c.ask(f"bob.{zone}")[0] == 200
        assert c.ask(f"a.{zone}")[0] == 421


# ---- redirects ----


def test_force_https_on_every_name_below(shared, zone, ca):
    zone, _ = zone
    shared.cli("force-https", "--enable", app=APP)
    try:
        for label in ("a", "b", "a_b"):
            name = f"{label}.{zone}"
            wait_for("the redirect", lambda name=name: shared.http(name)[0] == 301, 5)
            assert shared.http(name, "/x?y")[1]["Location"] == \
                f"https://{name}:{port(shared, 'HTTPS')}/x?y"
            assert label == "a_b" or HSTS in shared.https(name, root=ca.dir / "root.pem")[1]
        assert shared.http(f"a.{zone}", "/.well-known/acme-challenge/test")[0] == 200
        # A wildcard without a certificate sends nobody to a warning of the browser.
        shared.cli("domains-ssl", f"*.{zone}", "disable", app=APP)
        wait_for("its end", lambda: shared.http(f"a.{zone}")[0] == 200, 5)
    finally:
        shared.cli("force-https", "--disable", app=APP)


def test_the_canonical_domain_may_lie_below_it(shared, zone, ca):
    zone, _ = zone
    name = f"www.{zone}"
    shared.cli("domains-add", "--no-letsencrypt", name, "--canonical", app=APP)
    try:
        for label in ("a", "b"):
            wait_for("the redirect", lambda label=label: shared.http(f"{label}.{zone}")[0] == 301, 5)
            status, headers, _ = shared.https(f"{label}.{zone}", "/x", root=ca.dir / "root.pem")
            assert (status, headers["Location"]) == \
                (301, f"https://{name}:{port(shared, 'HTTPS')}/x")
        assert shared.http(name)[0] == shared.https(name, root=ca.dir / "root.pem")[0] == 200
    finally:
        shared.cli("domains-remove", name, app=APP)
    wait_for("its end", lambda: shared.http(f"a.{zone}")[0] == 200, 5)


# ---- 421 ----


@pytest.mark.parametrize("version", VERSIONS)
def test_misdirected_requests(shared, zone, ca, version):
    """One connection may be used for all names of the certificate, and for no other."""
    zone, _ = zone
    custom(shared, ca, f"own.{zone}")
    shared.cli("domains-add", "--no-letsencrypt", f"covered.{zone}", app=OTHER)
    context = context_of(version)
    session = None
    for _ in range(2):  # the second time on a resumed session, which has no certificate
        with Connection(shared, f"a.{zone}", context, session) as c:
            assert c.sock.session_reused == (session is not None)
            session = c.session(f"a.{zone}")
            assert c.ask(f"a.{zone}")[0] == c.ask(f"b.{zone}")[0] == 200
            assert c.ask(f"covered.{zone}")[0] == 200
            assert c.ask(f"own.{zone}")[0] == 421
            assert c.ask(zone)[0] == c.ask(f"x.a.{zone}")[0] == 404
    with Connection(shared, f"own.{zone}") as c:
        assert c.ask(f"a.{zone}")[0] == 421
    with Connection(shared, None) as c:
        assert c.ask(f"a.{zone}")[0] == 421
    for name in (f"own.{zone}", f"covered.{zone}"):
        shared.cli("domains-remove", name, app=OTHER)


# ---- the end ----


@pytest.mark.parametrize("version", VERSIONS)
def test_its_removal_takes_effect_at_once(shared, zone, ca, version):
    """New handshakes, resumed sessions and open connections; names of their own stay."""
    zone, _ = zone
    own = custom(shared, ca, f"own.{zone}")
    context = context_of(version)
    with Connection(shared, f"a.{zone}", context) as c:
        session = c.session(f"a.{zone}")
    with Connection(shared, f"a.{zone}", context, session) as c:
        assert c.sock.session_reused
    with Connection(shared, f"b.{zone}", context, session) as c:
        assert not c.sock.session_reused  # a session is for the name it was made with
    with Connection(shared, f"a.{zone}", context) as c, \
            Connection(shared, f"own.{zone}", context) as kept:
        own_session = kept.session(f"own.{zone}")
        assert c.ask(f"a.{zone}")[0] == kept.ask(f"own.{zone}")[0] == 200
        shared.cli("domains-remove", f"*.{zone}", app=APP)
        wait_for("its end", lambda: c.ask(f"a.{zone}")[0] == 404, 5)
        assert c.ask(f"own.{zone}")[0] == 421  # its name is nobody's now
        assert kept.ask(f"own.{zone}")[0] == 200
    for name in (f"a.{zone}", f"b.{zone}", f"never-seen.{zone}"):
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            Connection(shared, name, context, session if name.startswith("a.") else None)
        assert shared.http(name)[0] == 404
    with Connection(shared, f"own.{zone}", context, own_session) as c:
        assert c.sock.session_reused and c.ask(f"own.{zone}")[0] == 200
    assert shared.leaf(f"own.{zone}") == own
    shared.cli("domains-remove", f"own.{zone}", app=OTHER)


def test_its_new_certificate_is_shown_at_once(shared, zone, ca):
    zone, old = zone
    names = [f"a.{zone}", f"b.{zone}"]
    assert [shared.leaf(name) for name in names] == [old, old]
    shared.cli("domains-add", "--no-letsencrypt", f"covered.{zone}", app=OTHER)
    new = wildcard(shared, ca, zone, verb="domains-ssl")
    assert new != old
    # The upload answers when every live edge has it.
    assert [shared.leaf(name) for name in [*names, f"covered.{zone}"]] == [new] * 3
    shared.cli("domains-remove", f"covered.{zone}", app=OTHER)
