"""The main job: a domain goes from added to HTTPS, on both databases."""

import json
import socket
import ssl
import threading

import pytest

from client import Failed
from stack import wait_for

APP = "light"


@pytest.fixture(scope="module")
def app(system):
    return system.app(APP)


def test_added_before_dns_is_pending_and_says_what_to_do(system, app):
    name = "early.light.test"
    system.cli("domains-add", name, app=app)
    seen = system.wait_problem(app, name, "dns.none")
    assert seen["word"] == "Pending DNS"
    assert name in seen["record"] and "127.0.0.1" in seen["record"] + seen["evidence"] or \
        "edge.platform.test" in seen["record"]
    assert system.orders_at_ca() == 0


def test_it_goes_to_https_when_dns_points_here(system, app):
    name = "early.light.test"
    system.point(name)
    seen = system.wait_word(app, name, "In use")
    assert seen["letsencrypt_status"] == "created"
    status, _, body = system.https(name)
    assert status == 200
    assert json.loads(body)["hello"] == name


def test_list_and_show_agree_with_explain(system, app):
    domains = json.loads(system.cli("domains", "--json", app=app))["domains"]
    ours = next(d for d in domains if d["name"] == "early.light.test")
    assert ours["letsencrypt"] and ours["ssl"] and ours["letsencrypt_status"] == "created"
    assert ours["ssl_status"] == "success" and ours["validity"].endswith("Z")
    assert "early.light.test" in system.cli("domains", app=app)


def test_a_foreign_aaaa_keeps_it_pending_and_is_named(system, app):
    name = "mixed.light.test"
    system.point(name)
    system.stack.dns("add-aaaa", host=name, addresses=["2001:db8::1"])
    system.cli("domains-add", name, app=app)
    seen = system.wait_problem(app, name, "dns.mixed")
    assert seen["word"] == "Pending DNS"
    assert "2001:db8::1" in seen["evidence"]
    system.stack.dns("clear-aaaa", host=name)
    system.wait_word(app, name, "In use")


def test_a_proxy_in_front_is_recognised(system, app):
    """As with Cloudflare: DNS shows the proxy's address, an edge of ours answers behind it."""
    name = "proxied.light.test"
    host, port = system.env["EDGE_HTTP_1"].rsplit(":", 1)
    with Relay(("127.0.0.2", int(port)), (host, int(port))):
        system.point(name, "127.0.0.2")
        system.cli("domains-add", name, app=app)
        system.wait_word(app, name, "In use")
    assert system.https(name)[0] == 200


def test_the_app_answers_on_its_platform_name_at_once(system, app):
    name = f"{app}.{system.env['REGION']}.{system.env['PLATFORM_DOMAIN']}"
    assert system.http(name)[0] == 200
    status, _, body = system.https(name, root=system.env["PLATFORM_ROOT"])
    assert status == 200
    told = json.loads(body)["headers"]
    assert told["X-Forwarded-Proto"] == "https"
    assert told["X-Forwarded-For"].startswith("127.0.0.1")


def test_a_new_app_is_live_without_reload(system):
    before = system.env["EDGE_PID_1"]
    workers = children(before)
    name = f"another.{system.env['REGION']}.{system.env['PLATFORM_DOMAIN']}"
    system.app("another")
    wait_for("the new app", lambda: system.http(name)[0] == 200, 5)
    system.cli("destroy", "another", "--force")
    wait_for("its end", lambda: system.http(name)[0] == 404, 5)
    assert children(before) == workers


def test_unknown_names_are_refused(system):
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized"):
        system.leaf("stranger.light.test")
    assert system.http("stranger.light.test")[0] == 404


def test_a_removed_domain_is_gone_at_once(system, app):
    name = "leaving.light.test"
    system.add(app, name)
    system.cli("domains-remove", name, app=app)

    def refused():
        try:
            system.leaf(name)
        except ssl.SSLError:
            return True
        return False

    wait_for("its refusal", refused, 5)


def test_an_unicode_name_is_served_under_its_a_label(system, app):
    system.point("xn--bcher-kva.light.test")
    system.cli("domains-add", "bücher.light.test", app=app)
    system.wait_word(app, "bücher.light.test", "In use")
    assert system.https("xn--bcher-kva.light.test")[0] == 200


def test_the_test_path_of_clever_cloud(system, app):
    status, _, body = system.http("early.light.test", "/.well-known/acme-challenge/test")
    assert (status, body.strip()) == (200, b"test")


def test_a_name_that_is_taken_is_refused(system, app):
    with pytest.raises(Failed, match="already been taken"):
        system.cli("domains-add", "early.light.test", app=app)


def test_history_tells_the_story(system, app):
    seen = system.explain(app, "early.light.test")
    text = json.dumps(seen)
    assert "certificate.issued" in text and "certificate.served" in text
    steps = [s for s in seen["ladder"] if s.get("taken")]
    assert len(steps) == 1 and steps[0]["origin"] == "acme"


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return f.read().split()


class Relay:
    """A TCP relay: the proxy in front."""

    def __init__(self, at, to):
        self.to = to
        self.server = socket.create_server(at)

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.close()

    def _serve(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.to)
            for a, b in ((client, upstream), (upstream, client)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    @staticmethod
    def _pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass
