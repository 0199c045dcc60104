"""What must not stop anything, or only what it has to stop."""

import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from stack import build_dir, port_open, wait_for

APP = "survive"


@pytest.fixture(scope="module")
def up(shared):
    shared.app(APP)
    shared.add(APP, "one.survive.test")
    return shared


def replica_builds(client):
    return sorted(Path(client.env["REPLICA_1"]).glob("v*/*/data.mdb"))


def test_without_posternd_all_is_served_and_restarts(up):
    stack = up.stack
    stack.stop("posternd")
    assert up.https("one.survive.test")[0] == 200
    stack.stop("edged1")
    stack.start("edged1")
    stack.stop("nginx1")
    stack.start("nginx1")
    up.wait_https("one.survive.test")
    stack.start("posternd")
    stack.wait_api()
    up.add(APP, "after.survive.test")


def test_a_replica_that_is_gone_is_built_anew(up):
    before = set(replica_builds(up))
    assert before
    up.stack.stop("edged1")
    shutil.rmtree(Path(up.env["REPLICA_1"]))
    up.stack.start("edged1")
    wait_for("a new replica", lambda: set(replica_builds(up)) - before, 20)
    up.wait_https("one.survive.test")
    up.add(APP, "rebuilt.survive.test")


def test_a_database_that_is_gone_is_not_made_again(up):
    stack = up.stack
    stack.stop("posternd")
    db = stack.dir / "postern.db"
    hidden = stack.dir / "hidden"
    hidden.mkdir()
    for f in stack.dir.glob("postern.db*"):
        shutil.move(f, hidden / f.name)
    done = subprocess.run([build_dir() / "src" / "posternd", "--config",
                           stack.dir / "postern.conf"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "postern.db" in done.stderr and "AddressSanitizer" not in done.stderr
    assert not db.exists()
    for f in hidden.iterdir():
        shutil.move(f, stack.dir / f.name)
    stack.start("posternd")
    stack.wait_api()
    assert up.explain(APP, "one.survive.test")["word"] == "In use"


def test_servfail_of_one_name_stops_only_that_one(up):
    up.stack.dns("set-servfail", host="broken.survive.test")
    up.cli("domains-add", "broken.survive.test", app=APP)
    up.add(APP, "works.survive.test")
    seen = up.wait_problem(APP, "broken.survive.test", "dns.failed")
    assert seen["word"] == "Pending DNS" and "SERVFAIL" in seen["evidence"]
    up.stack.dns("clear-servfail", host="broken.survive.test")
    up.point("broken.survive.test")
    up.wait_word(APP, "broken.survive.test", "In use")


def test_a_ca_that_is_down_is_shown_and_waited_for(up):
    up.stack.stop("pebble")
    up.point("patient.survive.test")
    up.cli("domains-add", "patient.survive.test", app=APP)

    def shown():
        seen = up.explain(APP, "patient.survive.test")
        return seen["word"] == "Creating" and seen["failures"] == 0 and seen["reason"] and \
            seen["problem"]
    wait_for("the reason", shown)
    assert up.https("one.survive.test")[0] == 200
    # It comes back without its state: our account is unknown to it, and is registered again.
    up.stack.start_pebble()
    up.wait_word(APP, "patient.survive.test", "In use", 60)
    assert "registering it again" in up.stack.log("posternd")


def test_a_silent_dns_server_is_shown(up):
    up.stack.stop("dns")
    up.cli("domains-add", "silent.survive.test", app=APP)
    seen = up.wait_problem(APP, "silent.survive.test", "dns.failed")
    assert seen["word"] == "Pending DNS"
    assert up.leaf("one.survive.test")  # of the CA's earlier root
    up.stack.start("dns")
    wait_for("the DNS server", lambda: port_open(up.env["DNS_MGMT"].removeprefix("http://")))
    up.point("silent.survive.test")
    up.wait_word(APP, "silent.survive.test", "In use")


def test_a_name_the_ca_rejects_is_shown_and_not_hammered(up):
    before = up.orders_at_ca()
    up.point("www.blocked.test")
    up.cli("domains-add", "www.blocked.test", app=APP)
    seen = up.wait_word(APP, "www.blocked.test", "Action required")
    assert "rejectedIdentifier" in seen["problem"] and seen["failures"] == 1
    time.sleep(3)
    assert up.orders_at_ca() == before + 1


def test_half_of_all_nonces_refused(make_system):
    client = make_system(pebble_env={"PEBBLE_WFE_NONCEREJECT": "50"})
    client.app(APP)
    for i in range(5):
        client.add(APP, f"n{i}.nonce.test")
        assert client.explain(APP, f"n{i}.nonce.test")["failures"] == 0


def test_a_failed_validation_backs_off_and_recovers(make_system):
    """DNS is right for us, but the CA reaches nothing: nginx is stopped."""
    client = make_system(set_={"dns.probe": "false"})
    client.app(APP)
    client.point("late.backoff.test")
    client.stack.stop("nginx1")
    client.cli("domains-add", "late.backoff.test", app=APP)

    def failed_twice():
        return client.explain(APP, "late.backoff.test")["failures"] >= 2
    wait_for("two failures", failed_twice, 40)
    seen = client.explain(APP, "late.backoff.test")
    assert seen["word"] == "Creating" and seen["next_try_at"]
    assert len([a for a in seen["attempts"] if a["state"] == "failed"]) >= 2
    client.stack.start("nginx1")
    client.wait_word(APP, "late.backoff.test", "In use", 60)
    assert client.explain(APP, "late.backoff.test")["failures"] == 0


def renew_now(client, name):
    """As if its time had come.  When the CA's window lets a certificate be renewed is drawn by lot,
    and of a short-lived one Pebble's window is its whole life: too early or too late for a test.
    """
    with closing(sqlite3.connect(client.stack.dir / "postern.db", timeout=10)) as db, db:
        done = db.execute("UPDATE domains SET due_at_ms = ? WHERE ascii = ?",
                          (int(time.time() * 1000), name))
        assert done.rowcount == 1


def test_dns_that_left_is_warned_about_and_nothing_else_happens(make_system):
    """At the renewal DNS points elsewhere: served on, the CA is not asked; back again, renewed."""
    client = make_system(pebble_conf={"validity": 60})
    client.app(APP)
    client.add(APP, "left.dns.test")
    client.stack.dns("clear-a", host="left.dns.test")
    wait_for("the order to end", lambda: not client.explain(APP, "left.dns.test")["order"])
    first, orders = client.sha256("left.dns.test"), client.orders_at_ca()
    renew_now(client, "left.dns.test")
    seen = client.wait_problem(APP, "left.dns.test", "dns.none", 50)
    assert seen["word"] == "In use" and seen["record"]
    assert client.orders_at_ca() == orders and client.sha256("left.dns.test") == first
    client.point("left.dns.test")
    # By our own rule, so at half of its life.
    wait_for("the renewal", lambda: client.sha256("left.dns.test") != first, 40)


def test_the_budget_is_a_wait_with_a_time_and_a_reason(make_system):
    client = make_system(set_={"acme.certs_limit": "2", "acme.certs_period": "30s"})
    client.app(APP)
    for i in range(2):
        client.add(APP, f"b{i}.budget.test")
    client.point("b2.budget.test")
    client.cli("domains-add", "b2.budget.test", app=APP)
    seen = client.wait_problem(APP, "b2.budget.test", "quota")
    assert seen["word"] == "Creating" and seen["failures"] == 0
    assert "earliest at" in seen["reason"] and seen["next_try_at"]
    assert client.orders_at_ca() == 2
    # Another registered domain has a bucket of its own.
    client.add(APP, "www.elsewhere.test")
    client.wait_word(APP, "b2.budget.test", "In use", 60)


def test_an_outage_of_the_control_plane_loses_nothing_acknowledged(up):
    for i in range(5):
        up.cli("domains-add", f"k{i}.kill.test", app=APP)
        up.stack.stop("posternd", sig=9)
        up.stack.start("posternd")
        up.stack.wait_api()
        assert f"k{i}.kill.test" in up.cli("domains", app=APP)
