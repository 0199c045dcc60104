"""Two renewals of a certificate of 120 seconds, through the same machine as the first issue.

The system was started with the session (conftest.py), so most of the time has passed already.
"""

import time

from client import Client
from stack import wait_for

NAME = "short.renew.test"


WILD, BY_HAND = "*.renew.example.com", "*.by-hand.test"


def issued(client: Client, name=NAME, app="renew"):
    events = client.explain(app, name)["events"]
    return sum(e["kind"] == "certificate.issued" for e in events)


def order(client, name):
    """(state, value) of the order that is under way, if any."""
    rows = client.stack.sql("SELECT o.state || ' ' || d.acme_dns_value FROM orders o, domains d "
                            f"WHERE d.id = o.domain_id AND o.ended_at_ms = 0 AND d.ascii = '{name}'")
    return rows[0].split(" ") if rows else None


def make_by_hand(client, n):
    """The record of the n-th order, made when it is asked for."""
    def asked():
        now = order(client, BY_HAND)
        return now if now and now[0] == "awaiting" and now[1] else None

    # The CA chooses when, within the whole life of a certificate, and may take an authorization for
    # another order: then no record is asked for.
    _, value = wait_for(f"the value of order {n}", asked, 300)
    before = issued(client, BY_HAND, "renew-by-hand")
    word = client.explain("renew-by-hand", BY_HAND)["word"]
    # The certificate there is goes on being served while the record of the next is waited for.
    assert word == ("Action required" if n == 1 else "In use")
    client.stack.dns("clear-txt", host="_acme-challenge.by-hand.test.")
    client.stack.dns("set-txt", host="_acme-challenge.by-hand.test.", value=value)
    wait_for(f"certificate {n}", lambda: issued(client, BY_HAND, "renew-by-hand") > before, 40)
    return value


def test_by_hand_again_at_each_renewal(short_lived):
    client = short_lived
    values = {make_by_hand(client, n) for n in (1, 2)}
    assert len(values) == 2
    assert client.https("any.by-hand.test")[0] == 200
    kinds = [e["kind"] for e in client.explain("renew-by-hand", BY_HAND)["events"]]
    assert kinds.count("domain.action-required") >= 2


def test_two_renewals_without_a_gap(short_lived):
    client = short_lived
    client.wait_https(NAME)
    seen = {client.sha256(NAME)}
    end = time.monotonic() + 200

    # Every handshake is verified, expiry included.
    while issued(client) < 3:
        assert time.monotonic() < end, "not renewed twice within 200 s"
        assert client.https(NAME)[0] == 200
        seen.add(client.sha256(NAME))
        time.sleep(1)
    client.wait_word("renew", NAME, "In use")
    explained = client.explain("renew", NAME)
    assert explained["word"] == "In use" and explained["failures"] == 0
    wait_for("the newest certificate", lambda: client.sha256(NAME) == latest(client))


def latest(client):
    """The leaf on the ladder's ACME step."""
    ladder = client.explain("renew", NAME)["ladder"]
    return next(s["certificate"]["sha256"] for s in ladder if s["origin"] == "acme")


def test_a_provider_is_used_at_each_renewal(short_lived):
    client = short_lived
    wait_for("two renewals", lambda: issued(client, WILD) >= 3, 200)
    seen = client.wait_word("renew", WILD, "In use")
    assert seen["failures"] == 0 and client.https("any.renew.example.com")[0] == 200
    assert "domain.action-required" not in [e["kind"] for e in seen["events"]]
    wait_for("no value left behind", lambda: not client.fake.records() or order(client, WILD), 30)


def test_one_order_a_certificate(short_lived):
    client = short_lived
    names = {NAME: "renew", WILD: "renew", BY_HAND: "renew-by-hand"}
    made = sum(issued(client, name, app) for name, app in names.items())
    # An order may be under way.
    assert made <= client.orders_at_ca() <= made + len(names)
