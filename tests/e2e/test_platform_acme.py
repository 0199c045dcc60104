"""The platform's own wildcard by ACME: between the operator's files and the local CA."""

import json
import os
import signal
import subprocess
import threading

import pytest

from client import Client, Failed
from stack import StackError, openssl, wait_for
from test_dns_command import Fake
from test_permanent_record import NEW

OWN = "_platform"
TOKEN = "ds-token-secret"
ENV = f"# the platform's DNS\n\nDNS_PROVIDER=dnsimple\nDNS_DNSIMPLE_OAUTH_TOKEN={TOKEN}\n"


def names(system):
    return [f"{app}.{system.env['REGION']}.{system.env['PLATFORM_DOMAIN']}" for app in ("one", "two")]


def wildcard(system):
    return f"*.{system.env['REGION']}.{system.env['PLATFORM_DOMAIN']}"


def issuer(der):
    done = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-issuer"], input=der,
                          capture_output=True, check=True)
    return done.stdout.decode()


def leaves(system):
    return {system.leaf(name) for name in names(system)}


def served_by(system, word):
    """All platform names show the same certificate, and its issuer is this one."""
    shown = leaves(system)
    if len(shown) != 1 or word not in issuer(next(iter(shown))):
        raise StackError(f"{[issuer(leaf) for leaf in shown]}")
    return shown.pop()


def ladder(system):
    steps = json.loads(system.cli("platform", "--json"))["platform"]["ladder"]
    return {s["origin"]: s for s in steps}


def served(system):
    return [origin for origin, s in ladder(system).items() if s["served"]]


def configure(system, **settings):
    """Stop posternd, change settings (None: the default), start it."""
    conf = system.stack.dir / "postern.conf"
    system.stack.stop("posternd")
    lines = [line for line in conf.read_text().splitlines()
             if line.split(" = ")[0] not in {k.replace("__", ".") for k in settings}]
    lines += [f"{k.replace('__', '.')} = {v}" for k, v in settings.items() if v is not None]
    conf.write_text("\n".join(lines) + "\n")
    system.stack.start("posternd")
    system.stack.wait_api()


class Mirror(threading.Thread):
    """What the provider was told, its name servers answer: here Pebble's."""

    def __init__(self, system, fake):
        super().__init__(daemon=True)
        self.system, self.fake, self.over, self.seen = system, fake, threading.Event(), set()

    def run(self):
        shown = {}
        while not self.over.wait(0.1):
            records = {name: set(values) for name, values in self.fake.records().items()}
            for name in {*records, *shown}:
                values = records.get(name, set())
                if values == shown.get(name, set()):
                    continue
                self.seen |= values
                self.system.stack.dns("clear-txt", host=name + ".")
                for value in values:
                    self.system.stack.dns("set-txt", host=name + ".", value=value)
                shown[name] = values

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


@pytest.fixture
def fake():
    fake = Fake("dnsimple")
    yield fake
    fake.stop()


def test_by_the_operators_provider_from_the_start_to_the_fallback(make_system, fake, tmp_path):
    env_file = tmp_path / "platform.env"
    system = make_system(pebble_conf={"validity": 30}, set_={
        "platform.acme": "true", "platform.dns_env_file": env_file,
        "dns.dnsimple.base_url": fake.url})
    fake.control(zones=[{"name": system.env["PLATFORM_DOMAIN"]}])
    for app in ("one", "two"):
        system.app(app)
    wait_for("the local CA's", lambda: served_by(system, "Postern local CA"))
    assert system.https(names(system)[0], root=system.env["PLATFORM_ROOT"])[0] == 200
    assert "platform.dns_env_file cannot be used" in system.stack.log("posternd")

    with Mirror(system, fake) as mirror:
        env_file.write_text(ENV)
        env_file.chmod(0o600)
        system.stack.kill("posternd", signal.SIGHUP)
        system.wait_word(OWN, wildcard(system), "In use", 60)
        first = wait_for("the ACME certificate", lambda: served_by(system, "Pebble"))
        assert served(system) == ["acme"]
        for name in names(system):
            assert system.https(name)[0] == 200  # verified by the ACME CA's root
        assert mirror.seen and all(len(value) == 43 for value in mirror.seen)

        def renewed():
            leaf = served_by(system, "Pebble")
            return leaf if leaf != first else None

        wait_for("its renewal", renewed, 60)
        wait_for("the provider to be clean", lambda: not fake.records(), 30)
        # No CA: the certificate ends, and the local one stands in at that second.
        system.stack.stop("pebble")
        wait_for("the fallback", lambda: served_by(system, "Postern local CA"), 60)
        assert served(system) == ["local"] and not ladder(system)["acme"]["valid"]
        system.stack.start_pebble()
        wait_for("the CA's next", lambda: served_by(system, "Pebble"), 90)
        assert system.https(names(system)[0])[0] == 200

    assert TOKEN not in system.stack.log("posternd")
    assert TOKEN.encode() not in (system.stack.dir / "postern.db").read_bytes()
    kinds = {e["kind"] for e in system.explain(OWN, wildcard(system))["events"]}
    assert {"domain.added", "certificate.issued", "certificate.served"} <= kinds


def hand_record(system):
    """The record to be made by hand, as explain shows it."""
    def shown():
        seen = system.explain(OWN, wildcard(system))
        if not seen["record"] or "_acme-challenge" not in seen["record"]:
            raise StackError(f"{seen['word']}: {seen['problem']} {seen['reason']}")
        return seen["record"].split(" ")
    host, _, value = wait_for("the record", shown, 30)
    return host, value.strip('"')


def files_of(system):
    d = system.stack.dir
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", d / "wild.key", "-out", d / "wild.pem", "-days", 90, "-subj",
            "/CN=own.example", "-addext", f"subjectAltName=DNS:{wildcard(system)}")
    os.chmod(d / "wild.key", 0o600)
    return {"platform__cert_file": d / "wild.pem", "platform__key_file": d / "wild.key"}


@pytest.fixture(scope="module")
def by_hand(request):
    """A system whose platform certificate was proved with a record made by hand."""
    import conftest
    system = conftest._make(set_={"platform.acme": "true"})
    for app in ("one", "two"):
        system.app(app)
    host, value = hand_record(system)
    base = wildcard(system)[2:]
    assert host == f"_acme-challenge.{base}." and len(value) == 43
    assert served(system) == ["local"]
    # One worker begins the order, another of the lane for the DNS goes on with it: still one order.
    assert system.orders_at_ca() == 1 and "taken over" not in system.stack.log("posternd")
    system.stack.dns("set-txt", host=host, value=value)
    system.wait_word(OWN, wildcard(system), "In use", 60)
    yield system
    conftest._end(system, request)


def test_by_hand(by_hand):
    wait_for("the ACME certificate", lambda: served_by(by_hand, "Pebble"))
    told = [line.split("\t") for line in by_hand.cli("platform").splitlines()]
    assert [row[0] for row in told[:3]] == ["files", "acme", "local"]
    assert told[3][0] == f"{wildcard(by_hand)} by ACME: In use"
    assert told[4][0] == f"More: postern --app {OWN} domains-explain '{wildcard(by_hand)}'"
    ledger = by_hand.stack.call("GET", "/v1/ledger")["ledger"]
    assert by_hand.env["PLATFORM_DOMAIN"] in json.dumps(ledger)


def test_only_names_of_apps_are_served(by_hand):
    base = wildcard(by_hand)[2:]
    for name in (f"nobody.{base}", f"{OWN}.{base}", f"a.b.{base}", base):
        assert by_hand.http(name)[0] == 404
        with pytest.raises(OSError, match="UNRECOGNIZED_NAME"):
            by_hand.leaf(name)


def test_tenants_never_see_it(by_hand):
    user = by_hand.stack.call("POST", "/v1/users", {"user": {
        "username": "tina", "email": "tina@example.com", "role": "tenant"}})
    tina = Client(by_hand.stack)
    tina.env = {**by_hand.env, "POSTERN_TOKEN": user["token"]}
    assert OWN not in tina.cli("apps")
    for verb in (["domains"], ["domains-explain", wildcard(by_hand)], ["env"],
                 ["domains-remove", wildcard(by_hand)]):
        with pytest.raises(Failed):
            tina.cli(*verb, app=OWN)
    with pytest.raises(Failed):
        tina.cli("platform")
    with pytest.raises(Failed, match="_platform|characters|letters"):
        tina.cli("create", OWN)
    tina.cli("create", "tinas")
    with pytest.raises(Failed, match="belong to the platform"):
        tina.cli("domains-add", wildcard(by_hand), app="tinas")
    assert OWN in by_hand.cli("apps")


def test_an_upload_belongs_into_the_settings(by_hand, tmp_path):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", tmp_path / "k", "-out", tmp_path / "c", "-subj", "/CN=x", "-addext",
            f"subjectAltName=DNS:{wildcard(by_hand)}")
    with pytest.raises(Failed, match="platform.cert_file"):
        by_hand.cli("domains-ssl", "--cert", tmp_path / "c", "--key", tmp_path / "k",
                    wildcard(by_hand), app=OWN)


def test_what_was_removed_by_hand_is_made_again(by_hand):
    before = by_hand.explain(OWN, wildcard(by_hand))["domain"]["id"]
    by_hand.cli("domains-remove", wildcard(by_hand), app=OWN)
    wait_for("the local CA's", lambda: served_by(by_hand, "Postern local CA"))
    by_hand.stack.kill("posternd", signal.SIGHUP)
    host, value = hand_record(by_hand)
    assert by_hand.explain(OWN, wildcard(by_hand))["domain"]["id"] != before
    by_hand.stack.dns("clear-txt", host=host)
    by_hand.stack.dns("set-txt", host=host, value=value)
    by_hand.wait_word(OWN, wildcard(by_hand), "In use", 60)
    wait_for("the ACME certificate", lambda: served_by(by_hand, "Pebble"))


def test_the_operators_files_come_first_and_its_end_leaves_the_rest(by_hand):
    acme = served_by(by_hand, "Pebble")
    configure(by_hand, **files_of(by_hand))
    wait_for("the files", lambda: served_by(by_hand, "own.example"))
    assert served(by_hand) == ["files"] and ladder(by_hand)["acme"]["valid"]
    assert by_hand.explain(OWN, wildcard(by_hand))["word"] == "Not used"
    configure(by_hand, platform__cert_file=None, platform__key_file=None)
    wait_for("the ACME certificate", lambda: leaves(by_hand) == {acme})
    assert by_hand.explain(OWN, wildcard(by_hand))["word"] == "In use"
    configure(by_hand, platform__acme="false")
    wait_for("the local CA's", lambda: served_by(by_hand, "Postern local CA"))
    assert OWN not in by_hand.cli("apps")
    assert json.loads(by_hand.cli("platform", "--json"))["platform"]["domain"] is None
    configure(by_hand, platform__acme="true")
    assert hand_record(by_hand)[0].startswith("_acme-challenge.")


@pytest.mark.parametrize("text, mode, said", [
    ("DNS_PROVIDER=dnsimple\nnonsense\n", 0o600, "line 2: no"),
    ("DNS_PROVIDER=dnsimple\n", 0o644, "cannot be used"),
    ("A B=secret-of-mine\n", 0o600, "line 1: before the"),
    ("A=secret-of-mine\nA=2\n", 0o600, "line 2: A stands there twice"),
    ("A=\0\n", 0o600, "NUL"),
    ("A=\udcff\n", 0o600, "line 1: not UTF-8"),
    ("".join(f"V{i}=1\n" for i in range(65)), 0o600, "more than 64"),
])
def test_a_bad_file_is_told_and_changes_nothing(by_hand, text, mode, said):
    file = by_hand.stack.dir / "platform.env"
    file.write_text("GOOD=value\r\n# comment\n\n")
    file.chmod(0o600)
    if str(file) not in (by_hand.stack.dir / "postern.conf").read_text():
        configure(by_hand, platform__dns_env_file=file)
    by_hand.stack.kill("posternd", signal.SIGHUP)
    wait_for("the variable", lambda: by_hand.cli("env", app=OWN).strip() == "GOOD=value")
    at = len(by_hand.stack.log("posternd"))
    file.write_bytes(text.encode(errors="surrogateescape"))
    file.chmod(mode)
    by_hand.stack.kill("posternd", signal.SIGHUP)
    log = wait_for("the fault", lambda: said in (new := by_hand.stack.log("posternd")[at:]) and new)
    assert "secret-of-mine" not in log
    assert by_hand.cli("env", app=OWN).strip() == "GOOD=value"
    file.write_text("OTHER=1\n")
    file.chmod(0o600)
    by_hand.stack.kill("posternd", signal.SIGHUP)
    wait_for("the other", lambda: by_hand.cli("env", app=OWN).strip() == "OTHER=1")


@pytest.mark.skipif(not NEW, reason="Pebble 2.4 has no dns-persist-01")
def test_a_permanent_record_is_made_once(make_system):
    """Renewals need nobody and no change in the DNS."""
    system = make_system(pebble_conf={"validity": 20}, set_={"platform.acme": "true"})
    for app in ("one", "two"):
        system.app(app)
    hand_record(system)  # the order is there, so the CA's offer is known

    options = system.explain(OWN, wildcard(system))["domain"]["acme_options"]
    record = next(w["record"] for w in options if w["kind"] == "dns-persist-01")
    assert record["name"] == f"_validation-persist.{wildcard(system)[2:]}"
    system.stack.dns("set-txt", host=record["name"] + ".", value=record["value"])
    system.wait_word(OWN, wildcard(system), "In use", 60)
    first = wait_for("the ACME certificate", lambda: served_by(system, "Pebble"))
    wait_for("its renewal", lambda: served_by(system, "Pebble") != first, 60)
    assert system.https(names(system)[0])[0] == 200
    domain = system.explain(OWN, wildcard(system))["domain"]
    assert [w["kind"] for w in domain["acme_options"] if w["in_use"]] == ["dns-persist-01"]
