"""Wildcards as tenants see them: what is waited for, what is wrong, and that it goes on by itself."""

import json
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

import pytest

from client import Failed
from stack import ROOT, StackError, wait_for

APP = "wildapi"
ZONE = "acme.platform.test"


class Provider:
    """The fake of a DNS provider whose records are seen in the DNS of the tests."""

    def __init__(self, name, zones):
        script = ROOT / "tests" / "dns" / "fake_dns.py"
        self.process = subprocess.Popen([sys.executable, script, name], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.control(zones=[{"name": zone} for zone in zones])
        self.ending = threading.Event()

    def control(self, **what):
        urllib.request.urlopen(f"{self.url}/_control", json.dumps(what).encode()).read()

    def records(self):
        with urllib.request.urlopen(f"{self.url}/_state") as answer:
            return {name: [v for v, _ in values]
                    for name, values in json.load(answer)["records"].items()}

    def publish(self, stack):
        """What a provider's own name servers do."""
        def follow():
            known = {}
            while not self.ending.wait(0.1):
                for name, values in self.records().items():
                    for value in set(values) - known.get(name, set()):
                        stack.dns("set-txt", host=name.rstrip(".") + ".", value=value)
                    known[name] = set(values)
        self.thread = threading.Thread(target=follow)
        self.thread.start()

    def stop(self):
        self.ending.set()
        self.thread.join()
        self.process.communicate("")


@pytest.fixture
def provider():
    provider = Provider("dnsimple", ["prov.test"])
    yield provider
    provider.stop()


@pytest.fixture
def up(make_system, provider):
    """Names are looked at once a minute: what is quicker was told, not found."""
    client = make_system(set_={"dns.dnsimple.base_url": provider.url, "dnsd.zone": ZONE,
                               "dns.interval": "60s"})
    provider.publish(client.stack)
    client.app(APP)
    return client


def show(up, name):
    listed = up.stack.call("GET", f"/v1/apps/{APP}/domains")["domains"]
    return next(d for d in listed if d["name"] == name)


def options(up, name):
    d = up.stack.call("GET", f"/v1/apps/{APP}/domains/{urllib.parse.quote(name)}")["domain"]
    return {o["kind"]: o for o in d["acme_options"]}


def wait_status(up, name, status):
    def reached():
        d = show(up, name)
        if d["letsencrypt_status"] != status:
            raise StackError(f"{d['letsencrypt_status']}: {d['reason']}")
        return d
    return wait_for(f"{name} {status}", reached, 30)


def test_by_hand_the_record_is_shown_and_looked_for_when_asked(up):
    name, place = "*.hand.test", "_acme-challenge.hand.test"
    with pytest.raises(Failed, match="cannot go on by itself"):
        up.cli("domains-add", name, "--wait", app=APP)
    d = wait_status(up, name, "dns_required")
    assert d["acme_dns_fqdn"] == place and len(d["acme_dns_value"]) == 43
    assert d["acme_dns_until"] and d["acme_dns_error"] == {}
    assert (d["word"], d["acme_method"]) == ("Action required", "dns-01:manual")
    record = f'{place}. TXT "{d["acme_dns_value"]}"'
    assert d["record"] == record
    assert up.cli("domains", app=APP).rstrip("\n").endswith("\t" + record)
    told = up.cli("domains-explain", name, app=APP)
    assert f'To do       {place}. TXT "{d["acme_dns_value"]}"' in told
    ways = options(up, name)
    assert list(ways) == ["dns-persist-01", "delegation", "provider", "manual"] or \
        list(ways) == ["delegation", "provider", "manual"]  # an older Pebble
    assert ways["manual"]["in_use"] and not ways["manual"]["seen"]
    assert ways["delegation"]["record"]["value"].endswith("." + ZONE)

    up.stack.dns("set-txt", host=place + ".", value=d["acme_dns_value"])
    up.cli("domains-retry", name, app=APP)
    up.wait_word(APP, name, "In use", 20)
    assert up.https("any.hand.test")[0] == 200
    d = show(up, name)
    assert d["letsencrypt"] and d["acme_dns_fqdn"] is d["acme_dns_value"] is None
    with pytest.raises(Failed, match="409"):
        up.cli("domains-retry", name, app=APP)


def test_variables_that_are_wrong_are_named_and_right_ones_go_on(up, provider):
    name = "*.prov.test"
    up.cli("env-set", "DNS_PROVIDER=dnsimpel", app=APP)
    up.cli("domains-add", name, app=APP)
    d = wait_status(up, name, "dns_required")
    assert d["acme_dns_error"] == {"dns_provider": "dnsimpel", "variables": None}
    up.cli("env-set", "DNS_PROVIDER=dnsimple", app=APP)

    def blamed(wanted):
        return show(up, name)["acme_dns_error"] == {"dns_provider": "dnsimple",
                                                    "variables": wanted}
    wait_for("the missing variable", lambda: blamed(["DNS_DNSIMPLE_OAUTH_TOKEN"]))
    told = up.cli("domains-explain", name, app=APP)
    assert "wrong for DNS provider dnsimple: DNS_DNSIMPLE_OAUTH_TOKEN" in told
    # Through the other API, and refused by the provider.
    up.stack.call("PUT", f"/v2/self/applications/{APP}/env/DNS_DNSIMPLE_OAUTH_TOKEN",
                  {"value": "nobody-knows-it"})
    time.sleep(2)
    assert blamed(["DNS_DNSIMPLE_OAUTH_TOKEN"]) and show(up, name)["letsencrypt_status"] != "created"
    way = options(up, name)["provider"]
    assert way["provider"] == "dnsimple" and way["variables"] == ["DNS_DNSIMPLE_OAUTH_TOKEN"]
    assert "nobody-knows-it" not in up.cli("events", app=APP)
    up.cli("env-set", "DNS_DNSIMPLE_OAUTH_TOKEN=ds-token-secret", app=APP)
    up.wait_word(APP, name, "In use", 20)
    d = show(up, name)
    assert d["acme_dns_error"] == {} and d["acme_method"] == "dns-01:provider"
    assert options(up, name)["provider"]["in_use"] and options(up, name)["provider"]["seen"]
    assert up.https("any.prov.test")[0] == 200
    wait_for("the value to be taken away", lambda: not any(provider.records().values()))
    for log in ("posternd", "edged1"):
        assert "ds-token-secret" not in up.stack.log(log)


def test_the_permanent_record_ends_the_work_for_good(up):
    """It is shown as soon as the CA has been seen to take it, and is used from then on."""
    up.cli("domains-add", "*.first.test", app=APP)
    wait_status(up, "*.first.test", "dns_required")
    if "dns-persist-01" not in options(up, "*.first.test"):
        pytest.skip("this Pebble does not offer dns-persist-01")
    way = options(up, "*.first.test")["dns-persist-01"]
    record = way["record"]
    assert way["forever"] and not way["in_use"]
    assert (record["name"], record["type"]) == ("_validation-persist.first.test", "TXT")
    up.stack.dns("set-txt", host=record["name"] + ".", value=record["value"])
    up.cli("domains-retry", "*.first.test", app=APP)
    up.wait_word(APP, "*.first.test", "In use", 20)
    way = options(up, "*.first.test")["dns-persist-01"]
    assert way["in_use"] and way["seen"]
    assert "once, for good (dns-persist-01)" in up.cli("domains-explain", "*.first.test", app=APP)

    # The next one is known to work before it is there.
    up.stack.dns("set-txt", host="_validation-persist.next.test.", value=record["value"])
    up.cli("domains-add", "*.next.test", "--wait", app=APP)
    assert show(up, "*.next.test")["acme_method"] == "dns-persist-01"


def test_switching_off_and_on_begins_anew(up):
    name = "*.off.test"
    up.cli("domains-add", name, app=APP)
    first = wait_status(up, name, "dns_required")
    up.cli("domains-ssl", "--no-letsencrypt", name, app=APP)
    d = show(up, name)
    assert (d["word"], d["letsencrypt_status"], d["acme_dns_fqdn"]) == ("Disabled", None, None)
    up.cli("domains-ssl", "--letsencrypt", name, app=APP)
    again = wait_status(up, name, "dns_required")
    assert len(again["acme_dns_value"]) == 43 and again["acme_dns_until"]
    assert again["acme_dns_fqdn"] == first["acme_dns_fqdn"]


def test_who_waits_is_counted_and_told(up):
    up.cli("domains-add", "*.counted.test", app=APP)
    wait_status(up, "*.counted.test", "dns_required")
    request = urllib.request.Request(up.env["POSTERN_URL"] + "/metrics", headers={
        "Authorization": f"Bearer {up.stack.bearer()}"})
    with urllib.request.urlopen(request) as answer:
        assert b'postern_domains_waiting{method="dns-01:manual"} 1\n' in answer.read()
    kinds = [e["kind"] for e in up.explain(APP, "*.counted.test")["events"]]
    assert "domain.action-required" in kinds
