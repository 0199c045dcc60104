"""What a CA may ask for or offer: external account binding, profiles."""

import base64
import json
import os
import sqlite3
import ssl
import subprocess
import urllib.request
from datetime import datetime

import pytest

from stack import tool, wait_for

APP = "certified"
KID = "kid-1"
MAC_KEY = base64.urlsafe_b64encode(bytes(range(48))).decode().rstrip("=")
BOUND = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {KID: MAC_KEY}}
PROFILES = {
    "profiles": {
        "classic": {"description": "90 days", "validityPeriod": 90 * 86400},
        "tiny": {"description": "ten minutes", "validityPeriod": 600},
    }
}


@pytest.fixture
def key_file(tmp_path):
    def make(text, mode=0o600):
        path = tmp_path / "eab.key"
        path.write_text(text)
        os.chmod(path, mode)
        return path

    return make


def lifetime_s(client, name):
    shown = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-noout", "-dates"],
        input=client.leaf(name), capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    dates = [line.split("=")[1].replace(" GMT", "") for line in shown.splitlines()]
    begin, end = (datetime.strptime(date, "%b %d %H:%M:%S %Y") for date in dates)
    return (end - begin).total_seconds()


def newer_pebble():
    usage = subprocess.run([tool("pebble"), "-help"], capture_output=True, text=True).stderr
    return "-version" in usage


def test_an_account_is_bound_to_the_customer_of_the_ca(make_system, key_file):
    client = make_system(
        pebble_conf=BOUND,
        set_={"acme.eab_kid": KID, "acme.eab_key_file": key_file(MAC_KEY + "\n")},
    )
    client.app(APP)
    client.add(APP, "bound.ca.test")
    assert MAC_KEY not in client.stack.log("posternd")


def test_without_the_binding_the_operator_is_told_what_is_missing(make_system):
    client = make_system(pebble_conf=BOUND)
    client.app(APP)
    client.point("unbound.ca.test")
    client.cli("domains-add", "unbound.ca.test", app=APP)
    seen = client.wait_problem(APP, "unbound.ca.test",
                               "urn:ietf:params:acme:error:externalAccountRequired")
    assert "external account" in seen["reason"] and "operator" in seen["reason"]


@pytest.mark.parametrize("text, mode", [("not base64!\n", 0o600), (MAC_KEY, 0o644)])
def test_a_key_that_cannot_be_used_is_named(make_system, key_file, text, mode):
    client = make_system(
        pebble_conf=BOUND,
        set_={"acme.eab_kid": KID, "acme.eab_key_file": key_file(text, mode)},
    )
    client.app(APP)
    client.point("badkey.ca.test")
    client.cli("domains-add", "badkey.ca.test", app=APP)
    seen = client.wait_problem(APP, "badkey.ca.test", "account")
    assert "eab" in seen["reason"] and "eab.key" not in seen["reason"]
    assert "acme.eab_key_file cannot be used" in client.stack.log("posternd")
    if mode != 0o600:  # mended, it goes on by itself
        key_file(MAC_KEY)
        client.wait_word(APP, "badkey.ca.test", "In use", 60)


@pytest.mark.skipif(not newer_pebble(), reason="Pebble 2.4 has no profiles")
def test_the_profile_of_the_settings_is_ordered(make_system):
    client = make_system(pebble_conf=PROFILES, set_={"acme.profile": "tiny"})
    client.app(APP)
    client.add(APP, "tiny.ca.test")
    assert lifetime_s(client, "tiny.ca.test") <= 600


@pytest.mark.skipif(not newer_pebble(), reason="Pebble 2.4 has no profiles")
def test_a_profile_that_the_ca_does_not_offer_keeps_nobody_waiting(make_system):
    client = make_system(set_={"acme.profile": "gone"})
    client.app(APP)
    client.add(APP, "anyway.ca.test")
    assert "does not offer the profile" in client.stack.log("posternd")


def move_window_to_now(client, name):
    answer = json.dumps({
        "suggestedWindow": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"},
        "explanationURL": "https://ca.example/incident",
    })  # fmt: skip
    leaf = ssl.DER_cert_to_PEM_cert(client.leaf(name))
    request = urllib.request.Request(
        client.env["CA_MGMT"] + "/set-renewal-info/",
        data=json.dumps({"Certificate": leaf, "ARIResponse": answer}).encode(),
        headers={"User-Agent": "postern-tests/1"},
    )
    unverified = ssl._create_unverified_context()
    urllib.request.urlopen(request, timeout=10, context=unverified).close()


no_ari = pytest.mark.skipif(not newer_pebble(), reason="Pebble 2.4 has no renewal information")


@no_ari
def test_a_window_that_the_ca_moves_to_now_renews_at_once(make_system):
    client = make_system(set_={"acme.renewal_ask": "1s"})
    client.app(APP)
    client.add(APP, "moved.ca.test")
    first = client.sha256("moved.ca.test")
    move_window_to_now(client, "moved.ca.test")
    wait_for("another certificate", lambda: client.sha256("moved.ca.test") != first, 60)
    told = client.cli("events")
    assert "certificate.renewal-moved" in told and "https://ca.example/incident" in told
    assert "replaces=" in client.stack.log("posternd")


@no_ari
def test_a_renewal_that_a_restored_backup_forgot_is_ordered_as_a_new_certificate(make_system):
    """The CA takes no second order that replaces the certificate; the name gets one all the same."""
    client = make_system(set_={"acme.renewal_ask": "1s"})
    stack, name = client.stack, "restored.ca.test"

    def database(*statement):
        with sqlite3.connect(stack.dir / "postern.db") as db:
            return db.execute(*statement).fetchone()

    client.app(APP)
    client.add(APP, name)
    first = client.sha256(name)
    move_window_to_now(client, name)
    wait_for("another certificate", lambda: client.sha256(name) != first, 60)
    second = client.sha256(name)
    client.wait_word(APP, name, "In use")
    stack.stop("posternd")
    (num,) = database("SELECT num FROM certificates WHERE sha256 = ?", (first,))
    database("UPDATE domains SET acme_cert = ?, due_at_ms = 1 WHERE ascii = ? RETURNING id",
             (num, name))
    stack.start("posternd")
    wait_for("a third certificate", lambda: client.sha256(name) not in (first, second), 60)
    assert "does not take the order as a renewal" in stack.log("posternd")
