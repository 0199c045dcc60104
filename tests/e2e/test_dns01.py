"""Wildcards: validated in the DNS, by hand, by delegation, by a provider, by a permanent record."""

import time

import pytest

from stack import StackError, wait_for

APP = "wild"


@pytest.fixture(scope="module")
def up(system):
    system.app(APP)
    return system


def challenge(up, domain, app=APP):
    """The record that is to be made by hand, as soon as it is known."""
    def shown():
        seen = up.explain(app, domain)
        if seen["word"] != "Action required" or seen["problem"] != "dns.manual":
            raise StackError(f"{domain} is {seen['word']}: {seen['problem']} {seen['reason']}")
        name, _, value = seen["record"].split(" ")
        return name, value.strip('"')
    return wait_for(f"the record of {domain}", shown, 30)


def events(up, domain, app=APP):
    return [e["kind"] for e in up.explain(app, domain)["events"]]


def test_by_hand(up):
    name = "*.hand.test"
    up.cli("domains-add", name, app=APP)
    record, value = challenge(up, name)
    assert record == "_acme-challenge.hand.test." and len(value) == 43
    # A wrong value does not burn the order: the CA is not told before all servers have the right one.
    up.stack.dns("set-txt", host=record, value="x" * 43)
    before = up.orders_at_ca()
    time.sleep(5)
    assert challenge(up, name) == (record, value)
    assert up.explain(APP, name)["failures"] == 0
    assert "domain.action-required" in events(up, name)
    up.stack.dns("set-txt", host=record, value=value)
    up.wait_word(APP, name, "In use")
    assert up.orders_at_ca() == before
    assert up.https("any.hand.test")[0] == 200
