"""Draining an upstream, from the API to nginx, on a running system."""

import json
import time

import pytest

from edge import Backend


@pytest.fixture
def backends():
    made = [Backend("one"), Backend("two")]
    yield made
    for backend in made:
        backend.stop()


def test_draining_is_live_at_once(shared, backends):
    one, two = backends
    shared.cli("create", "drains")
    shared.cli("upstreams-set", one.address, two.address, app="drains")
    host = shared.stack.call("GET", "/v1/apps/drains")["app"]["url"].split("//")[1]

    def said():
        status, _, body = shared.http(host)
        return json.loads(body)["backend"] if status == 200 else status

    deadline = time.monotonic() + 20
    while said() not in ("one", "two"):
        assert time.monotonic() < deadline
    took = []
    for _ in range(5):
        for backend, flag in ((one, True), (one, False)):
            began = time.monotonic()
            shared.stack.call("PATCH", f"/v1/apps/drains/upstreams/{backend.address}",
                              {"upstream": {"drain": flag}})
            row = [said() for _ in range(6)]
            while ("one" in row) is flag:
                assert time.monotonic() < began + 5
                row = [said() for _ in range(6)]
            took.append(time.monotonic() - began)
    print(f"drained, seen by six requests: {[round(t * 1000) for t in took]} ms")
    assert sorted(took)[len(took) // 2] < 1
    shared.cli("upstreams-drain", one.address, two.address, app="drains")
    deadline = time.monotonic() + 5
    while said() != 503:
        assert time.monotonic() < deadline
    assert shared.stack.call("GET", "/v1/apps/drains")["app"]["status"] == "stopped"
