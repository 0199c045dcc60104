"""A name changes hands on the whole system, on both databases: what visitors see of it."""

import base64
import hashlib
import json
import sqlite3
import subprocess
import threading
import urllib.error

import pytest


class Tenant:
    """An account with one app."""

    def __init__(self, system, name):
        self.system, self.name, self.app = system, name, f"{name}s-shop"
        made = system.stack.call("POST", "/v1/users", {"user": {
            "username": name, "email": f"{name}@example.com"}})
        basic = base64.b64encode(f":{made['token']}".encode()).decode()
        self.bearer = system.stack.post_json(
            system.env["POSTERN_URL"] + "/v1/tokens/exchange", {},
            {"Authorization": f"Basic {basic}"})["token"]
        self.call("POST", "/v1/apps", {"app": {"name": self.app}})
        system.cli("upstreams-set", system.env["BACKEND"], app=self.app)

    def call(self, method, path, body=None):
        return self.system.stack.post_json(self.system.env["POSTERN_URL"] + path, body,
                                           {"Authorization": f"Bearer {self.bearer}"}, method)

    def add(self, name):
        """(status, answer)"""
        try:
            return 201, self.call("POST", f"/v1/apps/{self.app}/domains",
                                  {"domain": {"name": name}})
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read())

    def remove(self, name):
        self.call("DELETE", f"/v1/apps/{self.app}/domains/{name}")

    def names(self):
        listed = self.call("GET", f"/v1/apps/{self.app}/domains")["domains"]
        return sorted(d["name"] for d in listed)

    def kinds(self):
        return [e["kind"] for e in self.call("GET", f"/v1/apps/{self.app}/events")["events"]]


@pytest.fixture(scope="module")
def tenants(system):
    return Tenant(system, "alice"), Tenant(system, "bob")


def prove(system, answer, place=0):
    record = answer["proof"]["records"][place]
    system.stack.dns("set-txt", host=record["name"] + ".", value=record["value"])


def shift(system, days):
    """Let the releases lie further back."""
    sql = f"UPDATE released_names SET released_at_ms = released_at_ms - {days * 86400000}"
    url = system.env["DB_URL"]
    if url.startswith("sqlite:"):
        with sqlite3.connect(url[len("sqlite:"):], timeout=20) as db:
            db.execute(sql)
    else:
        subprocess.run(["psql", "-q", url, "-c", sql], check=True)


def served(system, name):
    return hashlib.sha256(system.leaf(name)).hexdigest()


def at_once(calls):
    """What they answer, sorted."""
    answers, gate = [None] * len(calls), threading.Barrier(len(calls))

    def run(i):
        gate.wait()
        answers[i] = calls[i]()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sorted(answers)


def test_a_served_name_changes_hands(system, tenants):
    alice, bob = tenants
    name = "www.take.test"
    system.point(name)
    assert alice.add(name)[0] == 201
    system.wait_word(alice.app, name, "In use")
    system.wait_https(name)
    old = served(system, name)
    status, refusal = bob.add(name)
    assert status == 422 and refusal["errors"]["name"][0].startswith("has already been taken")
    assert served(system, name) == old
    prove(system, refusal)
    status, added = bob.add(name)
    assert status == 201
    # When this is answered no edge shows the other tenant's certificate any more.
    assert served(system, name) != old
    assert alice.names() == [] and bob.names() == [name]
    assert alice.kinds()[0] == "domain.lost" and "domain.claimed" in bob.kinds()
    system.wait_word(bob.app, name, "In use")
    system.wait_https(name)
    new = served(system, name)
    assert new != old
    # The way back is the same.
    status, refusal = alice.add(name)
    assert status == 422
    prove(system, refusal)
    assert alice.add(name)[0] == 201 and bob.names() == []
    assert served(system, name) not in (old, new)


def test_a_released_name_waits_for_others_only(system, tenants):
    alice, bob = tenants
    for name in ("www.gone.test", "b.gone.test"):
        assert alice.add(name)[0] == 201
        alice.remove(name)
        status, refusal = bob.add(name)
        assert status == 422 and "proof" in refusal
    assert alice.add("www.gone.test")[0] == 201
    alice.remove("www.gone.test")
    prove(system, bob.add("b.gone.test")[1], place=1)
    assert bob.add("b.gone.test")[0] == 201
    system.stack.dns("clear-txt", host="_postern-challenge.gone.test.")
    assert bob.add("www.gone.test")[0] == 422  # no older answer counts
    shift(system, 30)
    assert bob.add("www.gone.test")[0] == 201


def test_wildcards_of_two_tenants(system, tenants):
    alice, bob = tenants
    assert alice.add("*.wild.test")[0] == 201
    assert alice.add("www.wild.test")[0] == 201
    assert bob.add("api.wild.test")[0] == 422
    status, refusal = bob.add("*.wild.test")
    prove(system, refusal)
    assert bob.add("api.wild.test")[0] == 201  # the record at the registered domain is the same
    assert {"*.wild.test", "www.wild.test"} <= set(alice.names())
    assert bob.add("*.wild.test")[0] == 201
    assert "*.wild.test" not in alice.names() and "www.wild.test" in alice.names()


def test_at_the_same_moment_one_wins(system, tenants):
    def both(a, b):
        return at_once([lambda t=t, n=n: t.add(n)[0] for t, n in zip(tenants, (a, b))])

    for i in range(8):
        for a, b in (("www", "www"), ("www", "*"), ("*", "www")):
            assert both(f"{a}.r{i}{len(a)}{len(b)}.test", f"{b}.r{i}{len(a)}{len(b)}.test") == \
                [201, 422]
    for suffix in ("github.io", "gitlab.io", "herokuapp.com"):
        assert both(f"you.{suffix}", f"*.{suffix}") == [201, 422]


def test_of_two_proofs_at_the_same_moment_one_has_it(system, tenants):
    system.cli("create", "third-shop")
    for i in range(6):
        name = f"www.both{i}.test"
        system.cli("domains-add", name, app="third-shop")
        for tenant in tenants:
            prove(system, tenant.add(name)[1])
        statuses = at_once([lambda t=t: t.add(name)[0] for t in tenants])
        # Both, when one was through before the other looked: then that one has lost it again.
        assert statuses in ([201, 422], [201, 201])
        assert sum(name in tenant.names() for tenant in tenants) == 1
    assert "www.both" not in system.cli("domains", app="third-shop")


def test_an_app_that_goes_releases_its_names(system, tenants):
    alice, bob = tenants
    alice.add("last.test")
    alice.call("DELETE", f"/v1/apps/{alice.app}?current_name={alice.app}")
    assert bob.add("www.last.test")[0] == 201
    status, refusal = bob.add("last.test")
    assert status == 422 and refusal["errors"]["name"][0].startswith("can only be added with")
    system.stack.call("DELETE", f"/v1/users/{alice.name}")
    assert bob.add("last.test")[0] == 422
