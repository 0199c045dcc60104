"""Webhooks and the chain of events on the whole system, with a real receiver."""

import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from client import Failed
from stack import ROOT, build_dir, wait_for

APP = "hooked"


class Receiver:
    """Keeps what came; `plan` holds the statuses of the next answers, 204 afterwards."""

    def __init__(self):
        receiver = self
        self.seen, self.plan, self.stall = [], [], 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.plan.pop(0) if receiver.plan else 204
                receiver.seen.append((self.path, dict(self.headers), body, status))
                time.sleep(receiver.stall)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self):
                receiver.seen.append((self.path, dict(self.headers), b"", 0))
                self.send_error(404)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def events(self, path="/hook", taken=True):
        return [json.loads(body)["event"] for p, _, body, status in list(self.seen)
                if p == path and (not taken or 200 <= status < 300)]

    def kinds(self, path="/hook", taken=True):
        return [e["kind"] for e in self.events(path, taken)]

    def wait(self, kind, path="/hook", seconds=20):
        wait_for(kind, lambda: kind in self.kinds(path), seconds)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.stop()


@pytest.fixture(scope="module")
def hooked(system):
    system.app(APP)
    return system


def add_hook(system, receiver, path="/hook", *args, app=APP):
    hook, secret = system.cli("webhooks-add", receiver.url + path, *args, app=app).split()
    return hook, secret


def show(system, hook):
    return system.stack.call("GET", f"/v1/webhooks/{hook}")["webhook"]


@pytest.fixture
def hook(hooked, receiver):
    hook, secret = add_hook(hooked, receiver)
    yield hook, secret
    hooked.cli("webhooks-remove", hook)


def verify_of_the_guide():
    text = (ROOT / "docs" / "webhooks.md").read_text()
    names = {}
    exec(re.search(r"```python\n(.*?)```", text, re.S)[1], names)
    return names["verify"]


def test_an_event_arrives_signed_as_the_guide_says(hooked, receiver, hook):
    verify = verify_of_the_guide()
    hooked.cli("force-https", app=APP)
    receiver.wait("app.changed")
    path, headers, body, _ = next(s for s in receiver.seen if b"app.changed" in s[2])
    signature = headers["X-Postern-Signature"]
    assert verify(hook[1], signature, body)
    assert not verify(hook[1], signature, body + b" ")
    assert not verify(hook[1] + "x", signature, body)
    assert not verify(hook[1], signature, body, now=time.time() + 1000)
    event = json.loads(body)["event"]
    assert event["id"] == headers["X-Postern-Event-Id"]
    assert event["actor"] == "user:operator" and event["request_id"]
    assert json.loads(body)["webhook_id"] == hook[0]
    wait_for("its end", lambda: show(hooked, hook[0])["delivered_at"])
    hooked.cli("force-https", "--disable", app=APP)


def test_filters_and_apps(hooked, receiver):
    ids = [add_hook(hooked, receiver, "/domains", "--events", "domain.*,app.none")[0],
           add_hook(hooked, receiver, "/all", app=None)[0]]
    hooked.cli("domains-add", "filter.hooked.test", app=APP)
    hooked.cli("create", "other-hooked")
    hooked.cli("domains-remove", "filter.hooked.test", app=APP)
    hooked.cli("destroy", "other-hooked", "--force")
    receiver.wait("app.removed", "/all")
    wait_for("the removal", lambda: "domain.removed" in receiver.kinds("/domains"))
    assert receiver.kinds("/domains") == ["domain.added", "domain.removed"]
    for hook in ids:
        hooked.cli("webhooks-remove", hook)


def test_failures_are_tried_again(hooked, receiver, hook):
    receiver.wait("webhook.added")
    receiver.plan = [500, 302]
    hooked.cli("force-https", app=APP)
    wait_for("the failure", lambda: show(hooked, hook[0])["failures"] >= 2)
    assert "302; redirects are not followed" in show(hooked, hook[0])["last_error"]
    hooked.cli("force-https", "--disable", app=APP)
    wait_for("both", lambda: receiver.kinds().count("app.changed") == 2, 20)
    ids = [e["id"] for e in receiver.events(taken=False) if e["kind"] == "app.changed"]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert not [s for s in receiver.seen if s[0] == "/elsewhere"]
    wait_for("the good end", lambda: show(hooked, hook[0])["failures"] == 0)


def test_a_kill_loses_nothing(hooked, receiver, hook):
    """posternd dies while the receiver has the event and has not answered."""
    receiver.wait("webhook.added")
    receiver.stall = 3
    hooked.cli("force-https", app=APP)
    wait_for("the delivery", lambda: "app.changed" in receiver.kinds(taken=False))
    hooked.stack.kill("posternd", signal.SIGKILL)
    wait_for("its end", lambda: not hooked.stack.running("posternd"))
    receiver.stall = 0
    hooked.stack.start("posternd")
    hooked.stack.wait_api()
    wait_for("the second time", lambda: receiver.kinds().count("app.changed") >= 2)
    ids = {e["id"] for e in receiver.events() if e["kind"] == "app.changed"}
    assert len(ids) == 1
    hooked.cli("force-https", "--disable", app=APP)
    wait_for("the next", lambda: len({e["id"] for e in receiver.events()
                                      if e["kind"] == "app.changed"}) == 2)


def test_a_slow_receiver_holds_up_nobody(hooked, receiver, hook):
    receiver.wait("webhook.added")
    receiver.stall = 5
    hooked.cli("force-https", app=APP)
    wait_for("the delivery", lambda: "app.changed" in receiver.kinds(taken=False))
    begun = time.monotonic()
    hooked.cli("force-https", "--disable", app=APP)
    hooked.cli("apps")
    assert time.monotonic() - begun < 3
    receiver.stall = 0


def test_ping(hooked, receiver, hook):
    receiver.wait("webhook.added")
    hooked.cli("webhooks-ping", hook[0])
    receiver.wait("webhook.ping")
    wait_for("its outcome", lambda: show(hooked, hook[0])["last_status"] == 204)
    receiver.plan = [500]
    hooked.cli("webhooks-ping", hook[0])
    wait_for("the failure", lambda: show(hooked, hook[0])["last_status"] == 500)
    assert show(hooked, hook[0])["failures"] == 0
    hooked.stack.call("PATCH", f"/v1/webhooks/{hook[0]}", {"webhook": {"active": False}})
    with pytest.raises(Failed, match="off"):
        hooked.cli("webhooks-ping", hook[0])


def test_refusals(hooked, receiver):
    for url in ("ftp://example.com/", "http://", "https://user:pw@example.com/", "nothing"):
        with pytest.raises(Failed, match="url"):
            hooked.cli("webhooks-add", url, app=APP)
    with pytest.raises(Failed, match="events"):
        hooked.cli("webhooks-add", receiver.url, "--events", "Domain Added", app=APP)
    with pytest.raises(Failed, match="app"):
        hooked.cli("webhooks-add", receiver.url, app="no-such-app")
    with pytest.raises(Failed, match="webhook"):
        hooked.cli("webhooks-remove", "000000000000000000000000")
    for body, field in ((None, "webhook"), ({"webhook": {}}, "url"), ({"webhook": []}, "webhook"),
                        ({"webhook": {"url": receiver.url, "events": ["a"] * 21}}, "events")):
        with pytest.raises(urllib.error.HTTPError) as e:
            hooked.stack.call("POST", "/v1/webhooks", body or {})
        assert e.value.code == 422 and field in json.loads(e.value.read())["errors"]


def test_a_private_address_is_refused(make_system, receiver):
    system = make_system(set_={"gate.allow": "127.0.0.2/32"})
    system.app("gated")
    hook, _ = add_hook(system, receiver, app="gated")
    system.cli("force-https", app="gated")
    wait_for("the refusal", lambda: "loopback" in (show(system, hook)["last_error"] or ""))
    assert receiver.seen == []


# ---- the chain ----

def test_events_show_their_hash(hooked):
    def sealed():
        events = hooked.stack.call("GET", f"/v1/apps/{APP}/events")["events"]
        return events if all(e["hash"] and e["position"] for e in events) else None
    events = wait_for("the seals", sealed, 5)
    assert all(re.fullmatch("[0-9a-f]{64}", e["hash"]) for e in events)


def test_verify_finds_what_was_changed(hooked):
    def verify():
        return subprocess.run([build_dir() / "src" / "posternd", "--config",
                               hooked.stack.dir / "postern.conf", "events", "verify"],
                              capture_output=True, text=True, timeout=30)
    if hooked.stack.db == "sqlite":
        hooked.stack.stop("posternd")
        verify_sql = ["sqlite3", hooked.stack.dir / "postern.db"]
    else:
        verify_sql = ["psql", "-qAt", hooked.env["DB_URL"], "-c"]
    done = verify()
    assert done.returncode == 0, done.stderr
    assert re.search(r"whole: \d+ events.*\nhead: [0-9a-f]{64}\n", done.stdout)
    change = "UPDATE events SET text = '%s' || substr(text, 2) WHERE chain_pos = 3"
    first = subprocess.run([*verify_sql, "SELECT substr(text, 1, 1), id FROM events "
                            "WHERE chain_pos = 3"], capture_output=True, text=True, check=True)
    letter, event = first.stdout.strip().split("|")
    subprocess.run([*verify_sql, change % "?"], check=True)
    done = verify()
    assert done.returncode == 1 and done.stdout.startswith("broken after 2 good events")
    assert event in done.stdout
    subprocess.run([*verify_sql, change % letter], check=True)
    assert verify().returncode == 0
    if not hooked.stack.running("posternd"):
        hooked.stack.start("posternd")
        hooked.stack.wait_api()
