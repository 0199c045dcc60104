"""Wildcards: proved in the DNS by hand, by delegation, by a provider, by a permanent record."""

import base64
import hashlib
import json
import subprocess
import time

import pytest

from stack import StackError, free_ports, wait_for
from zones import TSIG_NAME, TSIG_SECRET, Fake, Zones, ask, has_bind, txt

ZONE = "acme.platform.test"
TOKEN = "cf-token-secret"
pytestmark = pytest.mark.skipif(not has_bind(), reason="BIND is not installed")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def up(request):
    """A system with BIND for some zones, our own name servers and a fake of Cloudflare."""
    import conftest

    fake = Fake("cloudflare")
    dnsd = f"127.0.0.1:{free_ports(1)[0]}"
    bind = Zones({"update.test": '_acme-challenge TXT "neighbour of ours"\nwww A 192.0.2.1',
                  "up.two.labels.test": "", "hide.test": "* A 192.0.2.7"}, {ZONE: dnsd})
    client = conftest._make(db=request.param, resolver=bind, set_={
        "dnsd.zone": ZONE, "dnsd.listen": dnsd, "dnsd.ns": "ns1.platform.test",
        "dns.cloudflare.base_url": fake.url, "dns.interval": "1s"})
    client.fake, client.bind, client.dnsd = fake, bind, dnsd
    fake.show(client.stack)
    yield client
    fake.stop()
    conftest._end(client, request)


class Made:
    n = 0


def new_app(up, **variables):
    Made.n += 1
    app = f"wild{Made.n}"
    up.app(app)
    for name, value in variables.items():
        up.cli("env-set", f"{name}={value}", app=app)
    return app


def cloudflare(up, token=TOKEN):
    return new_app(up, DNS_PROVIDER="cloudflare", DNS_CLOUDFLARE_API_TOKEN=token)


def rfc2136(up, **more):
    return new_app(up, DNS_PROVIDER="rfc2136", DNS_RFC2136_NAMESERVER=up.bind.address,
                   DNS_RFC2136_TSIG_KEY=TSIG_NAME, DNS_RFC2136_TSIG_SECRET=TSIG_SECRET, **more)


def challenge(up, app, domain, seconds=30):
    """The record that is to be made by hand, as soon as it is known."""
    def shown():
        seen = up.explain(app, domain)
        if seen["problem"] != "dns.manual":
            raise StackError(f"{domain} is {seen['word']}: {seen['problem']} {seen['reason']}")
        name, _, value = seen["record"].split(" ")
        return name, value.strip('"')
    return wait_for(f"the record of {domain}", shown, seconds)


def events(up, app, domain):
    return [e["kind"] for e in up.explain(app, domain)["events"]]


def rows(up, sql):
    """What the database answers, without what is empty."""
    return [line for line in up.stack.sql(sql) if line]


def nothing_left(up, records=lambda: {}):
    wait_for("no value left behind", lambda: rows(
        up, "SELECT count(*) FROM dns_records") == ["0"] and not records(), 30)


def method(up, domain):
    return rows(up, f"SELECT acme_method FROM domains WHERE ascii = '{domain}'")[0]


def issued(up, app, name, probe):
    try:
        up.wait_word(app, name, "In use")
    except StackError as e:
        told = [f"{e['kind']}: {e['text']}" for e in up.explain(app, name)["events"]]
        raise StackError(f"{e}\n" + "\n".join(told)) from e
    assert up.https(probe)[0] == 200


def test_by_hand(up):
    app, name = new_app(up), "*.hand.test"
    before = up.orders_at_ca()
    up.cli("domains-add", name, app=app)
    record, value = challenge(up, app, name)
    assert record == "_acme-challenge.hand.test." and len(value) == 43
    # A wrong value does not burn the order: the CA is told nothing before the right one is there.
    up.stack.dns("set-txt", host=record, value="x" * 43)
    time.sleep(4)
    assert challenge(up, app, name) == (record, value)
    assert up.explain(app, name)["failures"] == 0
    assert "domain.action-required" in events(up, app, name)
    assert method(up, name) == "dns-01:manual"
    up.stack.dns("set-txt", host=record, value=value)
    issued(up, app, name, "any.hand.test")
    assert up.orders_at_ca() - before == 1
    # Nothing is left to be shown.
    assert rows(up, f"SELECT acme_dns_value || acme_dns_fqdn || acme_dns_until FROM domains "
                f"WHERE ascii = '{name}'") == ["0"]


def test_by_hand_behind_a_cname_of_somebody_else(up):
    app, name = new_app(up), "*.alias.test"
    up.stack.dns("set-cname", host="_acme-challenge.alias.test.", target="other.place.test.")
    up.cli("domains-add", name, app=app)
    record, value = challenge(up, app, name)
    assert record == "other.place.test."
    up.stack.dns("set-txt", host=record, value=value)
    issued(up, app, name, "any.alias.test")


def test_an_international_name(up):
    app, name = cloudflare(up), "*.b\u00fccher.example.com"
    up.cli("domains-add", name, app=app)
    issued(up, app, name, "any.xn--bcher-kva.example.com")
    nothing_left(up, up.fake.records)


def test_a_value_is_gone_when_the_name_servers_say_so(up):
    app, name, target = cloudflare(up), "*.lag.example.com", "_acme-challenge.lag.example.com"
    up.fake.lagging.add(target)
    up.cli("domains-add", name, app=app)
    issued(up, app, name, "any.lag.example.com")
    wait_for("the provider without it", lambda: not up.fake.records().get(target), 30)
    wait_for("a look at the name servers",
             lambda: rows(up, "SELECT problem FROM dns_records WHERE tries > 0"), 30)
    assert "1 of 1 name servers give it" in rows(up, "SELECT problem FROM dns_records")[0]
    up.fake.lagging.clear()
    nothing_left(up, up.fake.records)


def test_provider(up):
    """Neighbours stay; the value is gone afterwards; apex and wildcards at the same time."""
    app = cloudflare(up)
    neighbour = "_acme-challenge.many.example.com"
    up.fake.control(set=neighbour, values=["neighbour of ours"])
    up.point("many.example.com")
    names = ["many.example.com", "*.many.example.com", "*.a.many.example.com",
             "*.b.many.example.com", "*.sub.example.com"]
    for name in names:
        up.cli("domains-add", name, app=app)
    for name in names:
        issued(up, app, name, name.replace("*", "any"))
    assert method(up, "*.many.example.com") == "dns-01:provider"
    assert method(up, "many.example.com") == "http-01"
    nothing_left(up, lambda: up.fake.records() != {neighbour: ["neighbour of ours"]})
    up.fake.control(set=neighbour, values=[])
    assert all(up.explain(app, n)["failures"] == 0 for n in names)


def test_rfc2136(up):
    app, name = rfc2136(up), "*.update.test"
    up.cli("domains-add", name, app=app)
    issued(up, app, name, "any.update.test")
    nothing_left(up, lambda: txt(up.bind.address, "_acme-challenge.update.test") !=
                 ["neighbour of ours"])


def test_a_zone_two_labels_up_and_a_cname_into_another_zone(up):
    app = rfc2136(up)
    up.stack.dns("set-cname", host="_acme-challenge.far.test.",
                 target="far.challenges.update.test.")
    for name in ("*.deep.down.up.two.labels.test", "*.far.test"):
        up.cli("domains-add", name, app=app)
        issued(up, app, name, name.replace("*", "any"))
    nothing_left(up, lambda: txt(up.bind.address, "far.challenges.update.test"))


def test_delegation(up):
    """Once and for all: nothing is shown, nothing is written anywhere but at our own servers."""
    app, name = new_app(up), "*.given.test"
    up.cli("domains-add", name, app=app)
    record, _ = challenge(up, app, name)
    label = delegated_to(up, name)
    # A better way appears while a record is waited for: the same order goes on with it.
    before = up.orders_at_ca()
    up.stack.dns("set-cname", host=record, target=f"{label}.")
    issued(up, app, name, "any.given.test")
    assert up.orders_at_ca() == before and method(up, name) == "dns-01:delegation"
    wait_for("our own value to go", lambda: txt(up.dnsd, label) == [])
    assert rows(up, "SELECT count(*) FROM dns_answers") == ["0"]


def delegated_to(up, name):
    """The name below our zone to which a tenant delegates a name for ever (challenge.h)."""
    user = rows(up, f"SELECT user_id FROM domains WHERE ascii = '{name}'")[0]
    texts = ("postern delegation 1", user, name.removeprefix("*."))
    digest = hashlib.sha256(b"".join(len(t).to_bytes(2, "big") + t.encode() for t in texts))
    return base64.b32encode(digest.digest()[:20]).decode().lower() + "." + ZONE


def test_credentials_wrong_then_right(up):
    app, name = cloudflare(up, "not-the-token"), "*.wrong.example.com"
    before = up.orders_at_ca()
    up.cli("domains-add", name, app=app)
    seen = up.wait_problem(app, name, "dns.variables")
    assert seen["word"] == "Action required" and seen["failures"] == 0
    error = rows(up, f"SELECT acme_dns_error FROM domains WHERE ascii = '{name}'")[0]
    assert json.loads(error) == {"dns_provider": "cloudflare",
                                 "variables": ["DNS_CLOUDFLARE_API_TOKEN"]}
    up.cli("env-set", "DNS_PROVIDER=nobody", app=app)
    up.wait_problem(app, name, "dns.provider")
    error = rows(up, f"SELECT acme_dns_error FROM domains WHERE ascii = '{name}'")[0]
    assert json.loads(error) == {"dns_provider": "nobody", "variables": None}
    assert up.orders_at_ca() == before
    up.cli("env-set", "DNS_PROVIDER=cloudflare", app=app)
    up.wait_problem(app, name, "dns.variables")
    up.cli("env-set", f"DNS_CLOUDFLARE_API_TOKEN={TOKEN}", app=app)
    issued(up, app, name, "any.wrong.example.com")
    assert rows(up, f"SELECT acme_dns_error FROM domains WHERE ascii = '{name}'") == []
    # With a certificate they are tried when they are set, long before the next order.
    up.cli("env-set", "DNS_CLOUDFLARE_API_TOKEN=wrong-again", app=app)
    wait_for("the check", lambda: rows(
        up, f"SELECT acme_dns_error FROM domains WHERE ascii = '{name}'"))
    assert up.explain(app, name)["word"] == "In use"
    up.cli("env-set", f"DNS_CLOUDFLARE_API_TOKEN={TOKEN}", app=app)
    wait_for("the check", lambda: not rows(
        up, f"SELECT acme_dns_error FROM domains WHERE ascii = '{name}'"))
    nothing_left(up, up.fake.records)


def test_variables_that_come_while_a_record_is_waited_for(up):
    app, name = new_app(up), "*.later.example.com"
    up.cli("domains-add", name, app=app)
    challenge(up, app, name)
    before = up.orders_at_ca()
    up.cli("env-set", "DNS_PROVIDER=cloudflare", f"DNS_CLOUDFLARE_API_TOKEN={TOKEN}", app=app)
    issued(up, app, name, "any.later.example.com")
    assert up.orders_at_ca() == before and method(up, name) == "dns-01:provider"
    nothing_left(up, up.fake.records)


def test_a_provider_that_has_a_bad_day(up):
    """Transient faults are repeated and count for nothing."""
    app, name = cloudflare(up), "*.slow.example.com"
    up.fake.control(fail={"status": 503, "times": 3})
    up.fake.control(fail={"status": 500, "times": 2, "match": "^POST"})
    up.cli("domains-add", name, app=app)
    issued(up, app, name, "any.slow.example.com")
    assert up.explain(app, name)["failures"] == 0
    nothing_left(up, up.fake.records)


def test_removed_meanwhile(up):
    """The domain, its app and its variables go while the value stands: so does the value."""
    app, name = cloudflare(up), "*.gone.example.com"
    target = "_acme-challenge.gone.example.com"
    # The provider has it, but no server shows it.
    up.fake.ended.set()
    up.cli("domains-add", name, app=app)
    wait_for("the value at the provider", lambda: up.fake.records().get(target))
    up.cli("domains-remove", name, app=app)
    up.cli("env-unset", "DNS_PROVIDER", "DNS_CLOUDFLARE_API_TOKEN", app=app)
    wait_for("the value to go", lambda: not up.fake.records().get(target))
    up.fake.ended.clear()
    up.fake.show(up.stack)
    # A second look comes when nobody can be adding it any more.
    assert rows(up, "SELECT count(*) FROM dns_records") == ["1"]
    rows(up, "DELETE FROM dns_records")


def test_a_wildcard_cname_is_no_delegation(up):
    """`*.cname.test CNAME somewhere` answers for the challenge's name as well; nothing is written
    where it leads."""
    # BIND answers such names; the zone is one that takes updates.
    app = rfc2136(up)
    name = "*.star.update.test"
    up.stack.dns("set-txt", host="somewhere.elsewhere.test.", value="x")
    nsupdate(up, "update add *.star.update.test. 1 CNAME somewhere.elsewhere.test.")
    up.cli("domains-add", name, app=app)
    issued(up, app, name, "any.star.update.test")
    record = rows(up, f"SELECT id FROM orders WHERE name = '{name}' AND "
                  "data LIKE '%\"target\":\"_acme-challenge.star.update.test\"%'")
    assert len(record) == 1
    nothing_left(up)


def test_a_record_that_hides_a_wildcard_record(up):
    """`*.hide.test` answers below sub.hide.test as well, until there is a record of ours: it goes
    at once, and the tenant is told what is missing."""
    app, name = rfc2136(up), "*.sub.hide.test"
    before = up.orders_at_ca()
    up.cli("domains-add", name, app=app)
    seen = up.wait_problem(app, name, "dns.hidden")
    assert seen["word"] == "Action required" and seen["failures"] == 0
    nothing_left(up, lambda: txt(up.bind.address, "_acme-challenge.sub.hide.test"))
    assert ask(up.bind.address, "any.sub.hide.test")
    # What looks the same from outside, but is not.
    nsupdate(up, "update add *.sub.hide.test. 1 A 192.0.2.7",
             "update add sub.hide.test. 1 A 192.0.2.7")
    up.cli("domains-retry", name, app=app)
    issued(up, app, name, "any.sub.hide.test")
    assert up.orders_at_ca() - before == 1
    nothing_left(up, lambda: txt(up.bind.address, "_acme-challenge.sub.hide.test"))


def nsupdate(up, *lines):
    text = "\n".join([f"server 127.0.0.1 {up.bind.port}", *lines, "send", ""])
    subprocess.run(["nsupdate", "-y", f"hmac-sha256:{TSIG_NAME}:{TSIG_SECRET}"], input=text,
                   text=True, check=True, capture_output=True)


def test_permanent_record(up):
    """With a CA that has dns-persist-01: found before an order, and while a record is waited for."""
    app, first, second = new_app(up), "*.once.test", "*.twice.test"
    up.cli("domains-add", first, app=app)
    record, _ = challenge(up, app, first)
    offer = rows(up, "SELECT value FROM meta WHERE key LIKE 'dns-persist:%'")
    offer = json.loads("".join(offer))
    if not offer["offered"]:
        pytest.skip("this Pebble does not offer dns-persist-01")
    value = f"{offer['issuers'][0]}; accounturi={offer['account_uri']}; policy=wildcard"
    for base in ("once.test", "twice.test"):
        up.stack.dns("set-txt", host=f"_validation-persist.{base}.", value=value)
    before = up.orders_at_ca()
    issued(up, app, first, "any.once.test")
    assert up.orders_at_ca() == before and method(up, first) == "dns-persist-01"
    up.cli("domains-add", second, app=app)
    issued(up, app, second, "any.twice.test")
    assert method(up, second) == "dns-persist-01"
    assert "domain.action-required" not in events(up, app, second)


def test_a_failed_validation_counts(up):
    """The value goes between our look and the CA's."""
    app, name = new_app(up), "*.fail.test"
    up.cli("domains-add", name, app=app)
    record, value = challenge(up, app, name)
    up.stack.stop("pebble")
    up.stack.dns("set-txt", host=record, value=value)
    wait_for("its being seen", lambda: rows(
        up, f"SELECT state FROM orders WHERE name = '{name}' AND ended_at_ms = 0") == ["answering"])
    up.stack.dns("clear-txt", host=record)
    up.stack.start_pebble()  # with another memory: it has forgotten the order
    record, other = challenge(up, app, name)
    assert other != value
    up.stack.dns("set-txt", host=record, value=other)
    issued(up, app, name, "any.fail.test")


def test_a_ca_that_is_down_is_not_the_tenants_affair(up):
    app, name = new_app(up), "*.down.test"
    for part in ("posternd", "pebble"):
        up.stack.stop(part)
    up.stack.start("posternd")
    up.stack.wait_api()
    up.cli("domains-add", name, app=app)
    seen = wait_for("a fault", lambda: (e := up.explain(app, name))["problem"] and e)
    assert seen["word"] == "Creating" and not seen["problem"].startswith("dns.")
    up.stack.start_pebble()
    record, value = challenge(up, app, name, 60)
    up.stack.dns("set-txt", host=record, value=value)
    issued(up, app, name, "any.down.test")


def test_switched_off_while_a_record_is_waited_for(up):
    app, name = new_app(up), "*.off.test"
    up.cli("domains-add", name, app=app)
    record, value = challenge(up, app, name)
    up.stack.call("PATCH", f"/v1/apps/{app}/domains/%2A.off.test",
                  {"domain": {"letsencrypt_enabled": False}})
    assert up.explain(app, name)["word"] == "Disabled"
    assert rows(up, f"SELECT acme_dns_value FROM domains WHERE ascii = '{name}'") == []
    up.stack.dns("set-txt", host=record, value=value)
    up.stack.call("PATCH", f"/v1/apps/{app}/domains/%2A.off.test",
                  {"domain": {"letsencrypt_enabled": True}})
    up.stack.dns("clear-txt", host=record)
    assert challenge(up, app, name)[0] == record


def test_the_order_of_a_shown_value_ends(up):
    """Then there is another order and another value, and an event says so."""
    app, name = new_app(up), "*.expire.test"
    up.cli("domains-add", name, app=app)
    record, value = challenge(up, app, name)
    assert until(up, name) > time.time()
    up.stack.stop("posternd")
    data = rows(up, f"SELECT data FROM orders WHERE name = '{name}'")[0]
    end = json.loads(data)["expires_at"]
    rows(up, f"UPDATE orders SET data = replace(data, '\"expires_at\":{end}', '\"expires_at\":7') "
         f"WHERE name = '{name}'")
    up.stack.start("posternd")
    up.stack.wait_api()
    wait_for("another value", lambda: challenge(up, app, name)[1] != value)
    record, other = challenge(up, app, name)
    seen = up.explain(app, name)
    assert seen["failures"] == 0 and until(up, name) > time.time()
    assert any(e["kind"] == "domain.action-required" and other in e["text"] and
               "another one" in e["text"] for e in seen["events"])
    up.stack.dns("set-txt", host=record, value=other)
    issued(up, app, name, "any.expire.test")


def until(up, name):
    return int(rows(up, f"SELECT acme_dns_until FROM domains WHERE ascii = '{name}'")[0])


def test_a_slow_provider_keeps_nobody_waiting(up):
    app, other = cloudflare(up), new_app(up)
    up.fake.control(delay=4)
    try:
        for i in range(4):
            up.cli("domains-add", f"*.slow{i}.example.com", app=app)
        wait_for("its being asked", lambda: up.fake.state()["log"])
        begun = time.monotonic()
        up.add(other, f"quick-{other}.test")
        assert time.monotonic() - begun < 15
        leased = rows(up, "SELECT count(*) FROM orders WHERE lane = 'dns' AND ended_at_ms = 0 "
                      "AND lease_owner <> ''")
        assert int(leased[0]) <= 2
    finally:
        up.fake.control(delay=0)
    for i in range(4):
        issued(up, app, f"*.slow{i}.example.com", f"any.slow{i}.example.com")
    nothing_left(up, up.fake.records)


def test_a_value_that_cannot_be_taken_away(up):
    """It is tried again and again, with the present variables too, and given up with an event."""
    app, name = cloudflare(up), "*.stuck.example.com"
    target = "_acme-challenge.stuck.example.com"
    up.fake.control(fail={"status": 403, "times": 1000, "match": "^DELETE"})
    up.cli("domains-add", name, app=app)
    issued(up, app, name, "any.stuck.example.com")
    wait_for("tries", lambda: int(rows(up, "SELECT tries FROM dns_records")[0]) > 0)
    assert up.fake.records().get(target)
    rows(up, "UPDATE dns_records SET created_at_ms = 1, run_at_ms = 1")
    wait_for("the event", lambda: "dns.record-left" in events(up, app, name))
    assert rows(up, "SELECT count(*) FROM dns_records") == ["0"]
    up.fake.control(reset=True)


def test_no_credential_is_in_a_log(up):
    for secret in (TOKEN, TSIG_SECRET, "not-the-token", "wrong-again"):
        for log in (up.stack.dir / "log").glob("*.log"):
            assert secret not in log.read_text(errors="replace"), log.name
        if up.env["DB_URL"].startswith("sqlite:"):
            assert secret.encode() not in (up.stack.dir / "postern.db").read_bytes()
