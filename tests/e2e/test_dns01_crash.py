"""kill -9 of posternd at each step of an order that is proved in the DNS: it ends in a certificate,
and no value stays behind at the provider."""

import re

import pytest

from stack import ROOT, StackError, wait_for
from zones import Fake

MACHINE = (ROOT / "src" / "order" / "machine.c").read_text()
STATES = re.findall(r'\{"(\w+)", pst_step_\w+, DNS,', MACHINE)
AWS_SECRET = "aws+secret/key"


@pytest.fixture(scope="module")
def up(request):
    import conftest

    fakes = {"cloudflare": Fake("cloudflare"), "route53": Fake("route53")}
    client = conftest._make(set_={f"dns.{name}.base_url": f.url for name, f in fakes.items()} |
                            {"dns.interval": "1s"})
    client.fakes = fakes
    for name, fake in fakes.items():
        fake.show(client.stack)
    app(client, "cloudflare", DNS_CLOUDFLARE_API_TOKEN="cf-token-secret")
    app(client, "route53", DNS_AWS_ACCESS_KEY_ID="AKIAEXAMPLE", DNS_AWS_SECRET_ACCESS_KEY=AWS_SECRET)
    client.app("manual")
    yield client
    for fake in fakes.values():
        fake.stop()
    conftest._end(client, request)


def app(client, name, **variables):
    client.app(name)
    pairs = [f"{k}={v}" for k, v in variables.items()]
    client.cli("env-set", f"DNS_PROVIDER={name}", *pairs, app=name)


def test_the_table_of_states_was_found():
    assert {"surveying", "choosing", "recording", "confirming", "awaiting",
            "propagating"} == set(STATES)


def die_at(up, where, act):
    # A removal that waits would come to the point before the order does; one that a killed posternd
    # has leased comes later.
    waiting = "SELECT count(*) FROM dns_records WHERE lease_until_ms = 0"
    wait_for("nothing to be taken away", lambda: "0" in up.stack.sql(waiting), 60)
    up.stack.stop("posternd")
    up.stack.start("posternd", env={"POSTERN_TEST_KILL_AT": where})
    wait_for("posternd", lambda: up.stack.get(up.env["POSTERN_URL"] + "/v1/health"), 30)
    act()
    wait_for(f"its death at {where}", lambda: not up.stack.running("posternd"), 30)
    up.stack.start("posternd")
    up.stack.wait_api()


def make_by_hand(up, name):
    def shown():
        record = up.explain("manual", name)["record"]
        if not record or " TXT " not in record:
            raise StackError("no record yet")
        return record.split(" ")
    host, _, value = wait_for("the record", shown, 30)
    up.stack.dns("set-txt", host=host, value=value.strip('"'))


def clean(up):
    return not any(fake.records() for fake in up.fakes.values())


@pytest.mark.parametrize("point", ["exchanged", "saved"])
@pytest.mark.parametrize("state", [*STATES, "answering", "validating", "removing"])
def test_killed_at(up, state, point):
    name = f"*.{state}-{point}.example.com"
    by = {"confirming": "route53", "awaiting": "manual"}.get(state, "cloudflare")
    if by == "route53":
        up.fakes["route53"].control(pending=2)
    before = up.orders_at_ca()

    die_at(up, f"{state}/{point}", lambda: up.cli("domains-add", name, app=by))
    if by == "manual":
        make_by_hand(up, name)
    up.wait_word(by, name, "In use", 60)
    assert up.https(name.replace("*", "any"))[0] == 200
    assert up.explain(by, name)["failures"] == 0
    assert up.orders_at_ca() - before == 1
    wait_for("no value left behind", lambda: clean(up), 30)
