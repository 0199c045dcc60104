"""Customers' own certificates: upload, ladder, standby, requests made here, checks."""

import calendar
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error

import pytest

from certs import Authority, openssl
from client import Failed
from stack import free_ports, port_open, wait_for

APP = "custom"
DAY = 86400


@pytest.fixture(scope="module")
def ca(shared):
    return Authority(shared.stack.dir / "own-ca")


@pytest.fixture(scope="module")
def app(shared):
    return shared.app(APP)


def show(system, name):
    domains = json.loads(system.cli("domains", "--json", app=APP))["domains"]
    return next(d for d in domains if d["name"] == name)


def refused(system, method, path, body):
    """The body of a 422."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        system.stack.call(method, path, body)
    assert caught.value.code == 422
    return json.loads(caught.value.read())


def domains_path(name=""):
    return f"/v1/apps/{APP}/domains" + (f"/{name}" if name else "")


def codes(body):
    return [f["code"] for f in body["findings"]]


def serves(system, name, file, ca):
    return system.leaf(name) == ca.der(file)


def kinds(system, name):
    return [e["kind"] for e in system.explain(APP, name)["events"]]


# ---- the ways in ----


def test_a_certificate_comes_with_the_domain_and_is_served_at_once(shared, app, ca):
    name = "add.custom.test"
    cert, key = ca.leaf(name, subject=f"/C=FR/O=Acme/CN={name}")
    body = {"domain": {"name": name, "tlscert": cert.read_text(), "tlskey": key.read_text()}}
    answer = shared.stack.call("POST", domains_path(), body)
    assert serves(shared, name, cert, ca)
    d = answer["domain"]
    assert d["tlscert"] == f"/C=FR/O=Acme/CN={name}" and d["tlskey"] == "EC private key - 256 bits"
    assert (d["ssl"], d["ssl_status"], d["letsencrypt"]) == (True, "success", False)
    assert d["letsencrypt_enabled"] and d["letsencrypt_status"] == "pending_dns"
    assert d["word"] == "Pending DNS"
    assert calendar.timegm(time.strptime(d["validity"][:19], "%Y-%m-%dT%H:%M:%S")) == \
        ca.not_after(name)
    assert "private_root" in codes(answer)
    assert shared.https(name, root=ca.dir / "root.pem")[0] == 200


def test_the_documented_commands_of_scalingo(shared, app, ca, tmp_path, monkeypatch):
    """"Custom TLS Certificate" of Scalingo's documentation, `postern` in place of `scalingo`."""
    name = "www.example.com"
    monkeypatch.chdir(tmp_path)
    # A request made with openssl, as documented, and signed by an authority.
    openssl("genrsa", "-out", "my-app.key", "2048")
    openssl("req", "-new", "-key", "my-app.key", "-out", "my-app.csr", "-subj", f"/CN={name}")
    ca.leaf(name, csr=tmp_path / "my-app.csr")
    openssl("x509", "-in", ca.dir / f"{name}.pem", "-outform", "DER", "-out", "my-app.der")
    openssl("x509", "-inform", "DER", "-in", "my-app.der", "-out", "converted.crt")
    converted = shared.cli("certs-convert", "my-app.der")
    assert converted == (tmp_path / "converted.crt").read_text()
    (tmp_path / "my-app.crt").write_text(converted + (ca.dir / "intermediate.pem").read_text())

    shared.cli("--app", app, "domains-add", "--cert", "my-app.crt", "--key", "my-app.key", name)
    assert serves(shared, name, "my-app.crt", ca)
    assert show(shared, name)["tlskey"] == "RSA private key - 2048 bytes"
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ca.not_after(name)))
    said = f"The certificate and key have been installed for {name} " \
           f"(Validity: {until} +0000 UTC)\n"
    flags = ("--cert", "my-app.crt", "--key", "my-app.key")
    assert shared.cli("--app", app, "domains-ssl", *flags, name) == said
    assert shared.cli("--app", app, "domains-ssl", name, *flags) == said
    assert "disabled" in shared.cli("--app", app, "domains-ssl", name, "disable")
    assert show(shared, name)["tlscert"] is None
    shutil.copy("my-app.crt", "domain.crt")
    shutil.copy("my-app.key", "domain.key")
    assert shared.cli("--app", app, "domains-ssl", name) == said

    shared.cli("--app", app, "domains-add", "--no-letsencrypt", "example.com")
    d = show(shared, "example.com")
    assert (d["letsencrypt_enabled"], d["letsencrypt_status"], d["word"]) == \
        (False, None, "Disabled")


def test_bad_uploads_are_refused_with_all_that_is_wrong(shared, app, ca):
    name = "bad.custom.test"
    shared.cli("domains-add", "--no-letsencrypt", name, app=app)
    cert, key = ca.leaf(name)
    other_cert, other_key = ca.leaf("other.custom.test", key="rsa1024", seconds=-60)
    path = domains_path(name)

    def patch(**domain):
        return refused(shared, "PATCH", path, {"domain": domain})

    body = patch(tlscert=cert.read_text())
    assert list(body["errors"]) == ["tlskey"] and codes(body)[0] == "key_missing"
    body = patch(tlskey=key.read_text())
    assert list(body["errors"]) == ["tlscert"] and "cert_missing" in codes(body)
    assert list(patch(tlscert="")["errors"]) == ["tlskey"]
    assert list(patch(tlskey="")["errors"]) == ["tlscert"]
    body = patch(tlscert=cert.read_text(), tlskey=other_key.read_text())
    assert "key_mismatch" in codes(body)
    body = patch(tlscert=other_cert.read_text(), tlskey=other_key.read_text())
    assert {"expired", "name_not_covered", "key_weak"} <= set(codes(body))
    assert all(isinstance(s, str) for texts in body["errors"].values() for s in texts)
    assert {"code", "severity", "field", "sentence", "fix"} <= set(body["findings"][0])
    body = patch(tlscert="x" * 70000, tlskey=key.read_text())
    assert codes(body) == ["too_large"]
    with pytest.raises(Failed, match="name_not_covered|covers"):
        shared.cli("domains-ssl", "--cert", other_cert, "--key", other_key, name, app=app)
    refused(shared, "POST", domains_path(), {"domain": {
        "name": "half.custom.test", "tlscert": cert.read_text(), "tlskey": key.read_text()}})
    assert "half.custom.test" not in shared.cli("domains", app=app)
    assert show(shared, name)["ssl"] is False


def test_any_form_is_read_and_repaired(shared, app, ca):
    name = "forms.custom.test"
    shared.cli("domains-add", "--no-letsencrypt", name, app=app)
    cert, key = ca.leaf(name)
    p12 = ca.dir / "forms.p12"
    openssl("pkcs12", "-export", "-in", cert, "-inkey", key, "-passout", "pass:sesame", "-out", p12)
    with pytest.raises(Failed, match="passphrase"):
        shared.cli("domains-ssl", "--cert", p12, name, app=app)
    shared.cli("domains-ssl", "--cert", p12, "--passphrase", "sesame", name, app=app)
    assert serves(shared, name, cert, ca)
    # One text with everything, in disorder, with lost line breaks; the root is dropped.
    text = (ca.dir / "root.pem").read_text() + key.read_text() + \
        (ca.dir / "intermediate.pem").read_text() + (ca.dir / f"{name}.pem").read_text()
    answer = shared.stack.call("PATCH", domains_path(name),
                               {"domain": {"tlscert": text.replace("\n", ""), "tlskey": ""}})
    assert "chain_repaired" in codes(answer)
    # A missing intermediate is known from the other uploads; it is fetched from nowhere.
    answer = shared.stack.call("PATCH", domains_path(name), {"domain": {
        "tlscert": (ca.dir / f"{name}.pem").read_text(), "tlskey": key.read_text()}})
    assert "chain_repaired" in codes(answer) and "intermediate_missing" not in codes(answer)
    assert shared.https(name, root=ca.dir / "root.pem")[0] == 200


# ---- the ladder ----


class Handshakes(threading.Thread):
    """One every 50 ms: (begun, ended, leaf or the failure)."""

    def __init__(self, system, name):
        super().__init__(daemon=True)
        self.system, self.name, self.seen, self.over = system, name, [], threading.Event()

    def run(self):
        while not self.over.is_set():
            begun = time.time()
            try:
                leaf = self.system.leaf(self.name)
            except OSError as e:
                leaf = repr(e)
            self.seen.append((begun, time.time(), leaf))
            time.sleep(max(0, 0.05 - (time.time() - begun)))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def test_the_fallback_comes_at_the_second_without_anybodys_help(shared, app, ca):
    name = "ladder.custom.test"
    shared.add(app, name)
    acme = shared.leaf(name)
    cert, key = ca.leaf(name, seconds=20)
    own, end = ca.der(cert), ca.not_after(name)
    shared.cli("domains-ssl", "--cert", cert, "--key", key, name, app=app)
    explained = shared.explain(app, name)
    assert explained["word"] == "Not used" and "ends on" in explained["reason"]
    d = show(shared, name)
    assert (d["letsencrypt_status"], d["letsencrypt"], d["ssl"]) == ("created", False, True)

    shared.stack.kill("posternd", signal.SIGSTOP)
    try:
        with Handshakes(shared, name) as h:
            time.sleep(max(0, end + 2 - time.time()))
    finally:
        shared.stack.kill("posternd", signal.SIGCONT)
    before = [leaf for _, ended, leaf in h.seen if ended < end]
    after = [leaf for begun, _, leaf in h.seen if begun >= end]
    assert len(before) > 10 and len(after) > 3  # few on a busy machine, but on both sides of the end
    assert set(before) == {own} and set(after) == {acme}
    assert {leaf for _, _, leaf in h.seen} == {own, acme}

    explained = shared.wait_word(app, name, "In use")
    assert "ended on" in explained["reason"] and "ACME" in explained["reason"]
    wait_for("the event", lambda: "certificate.expired" in kinds(shared, name), 20)


def test_the_end_is_warned_of(shared, app, ca):
    expected = {"days30": 20 * DAY, "days7": 5 * DAY}
    for host, seconds in expected.items():
        name = f"{host}.custom.test"
        cert, key = ca.leaf(name, seconds=seconds)
        answer = shared.stack.call("POST", domains_path(), {"domain": {
            "name": name, "tlscert": cert.read_text(), "tlskey": key.read_text()}})
        assert "expires_soon" in codes(answer)
        assert "upload the renewed one" in answer["domain"]["reason"]
    for host, seconds in expected.items():
        name = f"{host}.custom.test"
        wait_for("the event", lambda name=name: "certificate.expires" in kinds(shared, name), 20)
        assert kinds(shared, name).count("certificate.expires") == 1
        assert f"ends soon name={name}" in shared.stack.log("posternd")


def test_with_nothing_valid_left_the_default_is_served_and_the_reason_says_so(shared, app, ca):
    name = "left.custom.test"
    cert, key = ca.leaf(name, seconds=4)
    shared.cli("domains-add", "--no-letsencrypt", "--cert", cert, "--key", key, name, app=app)
    end = ca.not_after(name)
    assert serves(shared, name, cert, ca)
    d = show(shared, name)
    assert (d["word"], d["letsencrypt_status"], d["ssl"]) == ("Disabled", None, True)
    time.sleep(max(0, end - time.time()))
    platform = shared.leaf(f"{app}.{shared.env['REGION']}.{shared.env['PLATFORM_DOMAIN']}")
    assert shared.leaf(name) == platform
    explained = shared.explain(app, name)
    assert "default certificate" in explained["reason"] and "switched off" in explained["reason"]
    assert [s["origin"] for s in explained["ladder"] if s["taken"]] == ["default"]
    d = show(shared, name)
    assert (d["ssl"], d["ssl_status"], d["tlscert"], d["validity"]) == (False, "error", None, None)


def test_a_wildcard_of_the_same_owner_covers(shared, app, ca):
    name = "www.zone.custom.test"
    cert, key = ca.leaf("*.zone.custom.test")
    shared.cli("domains-add", "--no-letsencrypt", name, app=app)
    assert show(shared, name)["ssl"] is False
    shared.cli("domains-add", "--cert", cert, "--key", key, "*.zone.custom.test", app=app)
    assert serves(shared, name, cert, ca) and serves(shared, "x.zone.custom.test", cert, ca)
    d = show(shared, name)
    assert (d["ssl"], d["ssl_status"], d["letsencrypt"], d["word"]) == \
        (True, "success", False, "Disabled")
    own, own_key = ca.leaf(name)
    shared.cli("domains-ssl", "--cert", own, "--key", own_key, name, app=app)
    assert serves(shared, name, own, ca) and serves(shared, "x.zone.custom.test", cert, ca)
    shared.cli("domains-remove", "*.zone.custom.test", app=app)
    shared.cli("domains-ssl", name, "disable", app=app)
    assert show(shared, name)["ssl"] is False


def test_stopping_answers_what_was_done(make_system):
    system = make_system()
    ca = Authority(system.stack.dir / "own-ca")
    system.app(APP)
    cert, key = ca.leaf("stop.custom.test")
    body = {"domain": {"name": "stop.custom.test", "letsencrypt_enabled": False,
                       "tlscert": cert.read_text(), "tlskey": key.read_text()}}
    bearer = {"Authorization": f"Bearer {system.stack.bearer()}"}
    url = system.env["POSTERN_URL"]
    system.stack.kill("edged1", signal.SIGSTOP)
    got = []
    thread = threading.Thread(target=lambda: got.append(
        system.stack.post_json(url + domains_path(), body, bearer)))
    thread.start()
    time.sleep(0.7)
    system.stack.stop("posternd")
    thread.join()
    system.stack.kill("edged1", signal.SIGCONT)
    assert got[0]["domain"]["ssl"] is True


# ---- standby ----


def test_the_acme_certificate_stands_by_and_takes_over_at_once(shared, app, ca):
    name = "standby.custom.test"
    cert, key = ca.leaf(name)
    shared.cli("domains-add", "--cert", cert, "--key", key, name, app=app)
    explained = shared.wait_problem(app, name, "dns.none")
    assert explained["word"] == "Pending DNS" and explained["reason"]
    shared.point(name)
    explained = shared.wait_word(app, name, "Not used")
    assert serves(shared, name, cert, ca)
    assert "certificate.standby" in kinds(shared, name)
    assert explained["order_due_at"], "its renewal is planned"
    shared.cli("domains-ssl", name, "disable", app=app)
    assert shared.https(name)[0] == 200  # the next handshake: verified by the ACME CA's root
    assert shared.explain(app, name)["word"] == "In use"


def test_a_standby_is_renewed_and_settings_of_uploads_count(make_system):
    system = make_system(pebble_conf={"validity": 20},
                         set_={"uploads.aia": "true", "uploads.rsa_bits_max": "2048"})
    ca = Authority(system.stack.dir / "own-ca")
    name = "renewed.custom.test"
    system.app(APP)
    system.point(name)
    cert, key = ca.leaf(name)
    system.cli("domains-add", "--cert", cert, "--key", key, name, app=APP)
    missing_issuers_are_fetched(system)
    with pytest.raises(Failed, match="2048"):
        system.cli("domains-ssl", "--cert", ca.leaf(name, key="rsa3072")[0], "--key",
                   ca.dir / f"{name}.key", name, app=APP)
    cert, key = ca.leaf(name)
    system.cli("domains-ssl", "--cert", cert, "--key", key, name, app=APP)

    def renewed():
        return kinds(system, name).count("certificate.standby") >= 2

    wait_for("the renewal", renewed, 30)
    assert serves(system, name, cert, ca)
    assert system.explain(APP, name)["word"] == "Not used"
    assert "certificate.served" not in kinds(system, name)


def missing_issuers_are_fetched(system):
    """From where the certificate says, in DER, and only the issuer that is missing."""
    ca = Authority(system.stack.dir / "fetched-ca")
    openssl("x509", "-in", ca.dir / "intermediate.pem", "-outform", "DER", "-out",
            ca.dir / "intermediate.cer")
    port = free_ports(1)[0]
    server = subprocess.Popen([sys.executable, "-m", "http.server", "-d", ca.dir, "-b",
                               "127.0.0.1", str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_for("the issuer's server", lambda: port_open(f"127.0.0.1:{port}"))
        name = "fetched.custom.test"
        _, key = ca.leaf(name, extra="authorityInfoAccess = caIssuers;URI:"
                                     f"http://127.0.0.1:{port}/intermediate.cer")
        answer = system.stack.call("POST", domains_path(), {"domain": {
            "name": name, "letsencrypt_enabled": False, "tlskey": key.read_text(),
            "tlscert": (ca.dir / f"{name}.pem").read_text()}})
        assert "chain_repaired" in codes(answer) and "intermediate_missing" not in codes(answer)
        assert system.https(name, root=ca.dir / "root.pem")[0] == 200
    finally:
        server.terminate()
        server.wait()


def test_with_acme_off_the_ca_is_never_contacted_and_both_ways_work(shared, app, ca):
    name = "off.custom.test"
    shared.point(name)
    before = shared.orders_at_ca()
    shared.cli("domains-add", "--no-letsencrypt", name, app=app)
    time.sleep(3)  # the watch looks every 2 s
    d = show(shared, name)
    assert (d["letsencrypt_status"], d["ssl"], d["ssl_status"]) == (None, False, "error")
    assert shared.orders_at_ca() == before and name not in shared.stack.log("pebble")

    shared.cli("domains-ssl", "--letsencrypt", name, app=app)
    shared.wait_word(app, name, "In use")
    assert shared.orders_at_ca() == before + 1 and name in shared.stack.log("pebble")
    acme = shared.leaf(name)
    shared.cli("domains-ssl", "--no-letsencrypt", name, app=app)
    assert shared.leaf(name) != acme
    assert show(shared, name)["word"] == "Disabled"
    shared.stack.call("PATCH", domains_path(name), {"domain": {"letsencrypt_enabled": True}})
    assert shared.leaf(name) == acme
    assert show(shared, name)["word"] == "In use"
    assert shared.orders_at_ca() == before + 1


def test_switching_acme_off_ends_an_order_under_way(shared, app):
    name = "ends.custom.test"
    shared.point(name)
    shared.stack.kill("pebble", signal.SIGSTOP)
    try:
        shared.cli("domains-add", name, app=app)
        wait_for("the order", lambda: shared.explain(app, name)["order"])
        shared.cli("domains-ssl", "--no-letsencrypt", name, app=app)
        assert shared.explain(app, name)["order"] is None
    finally:
        shared.stack.kill("pebble", signal.SIGCONT)
    time.sleep(1)
    explained = shared.explain(app, name)
    assert explained["order"] is None and explained["word"] == "Disabled"
    assert "issued" not in json.dumps(explained["events"])
    shared.cli("domains-ssl", "--letsencrypt", name, app=app)
    shared.wait_word(app, name, "In use")


# ---- at once, and whole ----


def test_connections_go_on_while_the_certificate_is_replaced(shared, app, ca):
    name = "replace.custom.test"
    first, key = ca.leaf(name)
    first_der = ca.der(first)
    shared.cli("domains-add", "--no-letsencrypt", "--cert", first, "--key", key, name, app=app)
    host, port = shared.env["EDGE_HTTPS_1"].rsplit(":", 1)
    context = ssl.create_default_context(cafile=ca.dir / "root.pem")
    raw = socket.create_connection((host, int(port)), timeout=10)
    with context.wrap_socket(raw, server_hostname=name) as s:
        assert ask(s, name) == 200
        with Handshakes(shared, name) as h:
            second, key = ca.leaf(name)
            shared.cli("domains-ssl", "--cert", second, "--key", key, name, app=app)
            assert serves(shared, name, second, ca)
        assert {leaf for _, _, leaf in h.seen} <= {first_der, ca.der(second)}
        assert s.getpeercert(binary_form=True) == first_der
        assert ask(s, name) == 200


def ask(s, name):
    s.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(65536)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = head.split(b"\r\n\r\n", 1)[1]
    while len(body) < length:
        body += s.recv(65536)
    return int(head.split()[1])


def test_a_stopped_edge_holds_the_answer_up_for_two_seconds_at_most(shared, app, ca):
    name = "slow.custom.test"
    cert, key = ca.leaf(name)
    shared.cli("domains-add", "--no-letsencrypt", name, app=app)
    body = {"domain": {"tlscert": cert.read_text(), "tlskey": key.read_text()}}
    shared.stack.kill("edged1", signal.SIGSTOP)
    try:
        bearer = {"Authorization": f"Bearer {shared.stack.bearer()}"}
        url = shared.env["POSTERN_URL"]
        begun = time.monotonic()
        threads = [threading.Thread(target=shared.stack.post_json, args=(
            url + domains_path(name), body, bearer, "PATCH")) for _ in range(12)]
        for t in threads:
            t.start()
        time.sleep(1.2)
        asked = time.monotonic()
        shared.stack.call("GET", domains_path(name))  # no worker is blocked
        assert time.monotonic() - asked < 1
        for t in threads:
            t.join()
        assert 1.8 < time.monotonic() - begun < 5
    finally:
        shared.stack.kill("edged1", signal.SIGCONT)
    wait_for("the certificate", lambda: serves(shared, name, cert, ca))


# ---- requests made here ----


def test_a_request_made_here_is_completed_by_its_certificate(shared, app, ca, tmp_path):
    name = "csr.custom.test"
    shared.cli("domains-add", "--no-letsencrypt", name, app=app)
    pem = shared.cli("csr", name, "--key-type", "rsa2048", "--country", "FR", "--organization",
                     "Acme & Fils", "--locality", "Strasbourg", app=app)
    csr = tmp_path / "own.csr"
    csr.write_text(pem)
    text = openssl("req", "-in", csr, "-noout", "-text", "-verify")
    for part in ("C = FR", "L = Strasbourg", 'O = Acme & Fils', f"CN = {name}", f"DNS:{name}",
                 "Public-Key: (2048 bit)"):
        assert part in text
    cert, _ = ca.leaf(name, csr=csr)
    other, _ = ca.leaf("foreign.custom.test", names=[name])
    assert "key_missing" in codes(refused(shared, "PATCH", domains_path(name),
                                          {"domain": {"tlscert": other.read_text()}}))
    shared.cli("domains-ssl", "--cert", cert, name, app=app)
    assert serves(shared, name, cert, ca)
    assert shared.https(name, root=ca.dir / "root.pem")[0] == 200
    listed = shared.stack.call("GET", domains_path(name) + "/csr")["csrs"]
    assert len(listed) == 1 and listed[0]["used_at"] and listed[0]["csr"] == pem
    assert "PRIVATE" not in json.dumps(listed)
    assert listed[0]["subject"] == f"/C=FR/L=Strasbourg/O=Acme & Fils/CN={name}"
    body = refused(shared, "POST", domains_path(name) + "/csr", {"csr": {"country": "France"}})
    assert list(body["errors"]) == ["country"]
    shared.cli("csr-remove", name, listed[0]["id"], app=app)
    assert shared.cli("csrs", name, app=app) == ""
    shared.cli("domains-remove", name, app=app)


# ---- checks ----


def check(system, *args):
    done = subprocess.run([system.env["POSTERN_CLI"], "certs-check", *map(str, args)],
                          capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    return done.returncode, done.stdout, done.stderr


def test_certs_check_needs_no_server(shared, ca):
    name = "check.custom.test"
    cert, key = ca.leaf(name)
    status, out, _ = check(shared, "--cert", cert, "--key", key, "--domain", name, "--json")
    report = json.loads(out)
    assert status == 0 and report["accepted"] and report["certificate"]["names"] == [name]
    assert "private_root" in codes(report)
    root = ca.dir / "root.pem"
    status, out, _ = check(shared, "--roots", root, "--key", "", cert, "--json")
    assert status == 0 and "private_root" not in codes(json.loads(out))
    status, out, _ = check(shared, cert, "--domain", "elsewhere.test")
    assert status == 1 and "name_not_covered" in out
    status, out, _ = check(shared, cert, "--at", "2050-01-01T00:00:00Z", "--json")
    assert status == 1 and "expired" in codes(json.loads(out))
    for wrong in ([], ["--at", "tomorrow", cert], ["--nonsense"], [ca.dir / "nothing"],
                  ["--roots", ca.dir / "nothing", cert]):
        assert check(shared, *wrong)[0] == 2


def test_the_api_checks_without_storing(shared, app, ca):
    name = "apicheck.custom.test"
    cert, key = ca.leaf(name)
    before = shared.stack.call("GET", "/v1/health")
    both = {"tlscert": cert.read_text(), "tlskey": key.read_text(), "name": name}
    report = shared.stack.call("POST", "/v1/certificates/check", {"certificate": both})["report"]
    assert report["accepted"] and report["certificate"]["names"] == [name]
    both["name"] = "elsewhere.test"
    report = shared.stack.call("POST", "/v1/certificates/check", {"certificate": both})["report"]
    assert not report["accepted"] and "name_not_covered" in codes(report)
    assert key.read_text() not in json.dumps(report)
    assert shared.stack.call("GET", "/v1/health") == before


def test_show_tells_what_is_in_a_file(shared, ca):
    cert, key = ca.leaf("show.custom.test")
    out = shared.cli("certs-show", cert, key)
    assert "show.custom.test" in out and "Test Intermediate" in out
    assert "the private key is here" in out and "BEGIN" not in out


def test_no_key_material_is_in_logs_or_database(shared, ca):
    text = shared.stack.log("posternd") + (shared.stack.dir / "postern.db").read_bytes().decode(
        "latin-1")
    for key in ca.dir.glob("*.key"):
        lines = key.read_text().splitlines()[1:-1]
        assert not any(line in text for line in lines), key
