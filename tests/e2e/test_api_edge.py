"""The feed of the edges over HTTP, long polls, and what happens under load and at the end."""

import base64
import json
import resource
import socket
import threading
import time

import pytest

from api_testd import Api

KEY = base64.b64encode(bytes([9] + [0] * 31)).decode()  # a valid X25519 public key


@pytest.fixture(scope="module")
def api():
    api = Api("platform.domain=platform.example", "names.any_tld=true")
    yield api
    api.close()


def one_time(api, **body):
    answer = api.call("POST", "/v1/edges/enrol-tokens", body, user="olga")
    assert answer.status == 201
    return answer.json["enrol_token"]


def enrol(api, name="edge1"):
    token = one_time(api)
    answer = api.call("POST", "/edge/v1/enrol", {"token": token["token"], "name": name,
                                                 "public_key": KEY,
                                                 "probe_address": "127.0.0.1:8443"})
    assert answer.status == 201, answer
    assert sorted(answer.json) == ["edge", "token"]
    return answer.json


def changes(api, bearer, cursor, wait=0, **more):
    query = "&".join(f"{k}={v}" for k, v in {**cursor, "wait": wait, **more}.items())
    return api.call("GET", f"/edge/v1/changes?{query}", bearer=bearer)


def cursor_of(json_):
    return {k: json_[k] for k in ("epoch", "rev", "id")}


def snapshot(api, bearer):
    objects, after, first = [], "", None
    while after is not None:
        page = api.call("GET", f"/edge/v1/snapshot?after={after}", bearer=bearer)
        assert page.status == 200, page
        first = first or page.json
        objects += page.json["objects"]
        after = page.json["next"]
    return cursor_of(first), objects


def new_app(api, name):
    answer = api.call("POST", "/v1/apps", {"app": {"name": name}}, user="alice")
    assert answer.status == 201, answer
    return answer.json["app"]


# ---- joining ----

def test_a_one_time_token_is_for_one_edge(api):
    token = one_time(api)
    assert token["token"].startswith("tk-en-") and token["region"] == "osc-fr1"
    assert token["expires_at"].endswith("Z")
    body = {"token": token["token"], "name": "edge0", "public_key": KEY}
    assert api.call("POST", "/edge/v1/enrol", body).status == 201
    again = api.call("POST", "/edge/v1/enrol", body)
    assert again.status == 401 and again.json["error"]


@pytest.mark.parametrize("change,field", [
    ({"token": None}, "token"), ({"name": ""}, "name"), ({"name": "a b"}, "name"),
    ({"name": "x" * 64}, "name"), ({"public_key": "AAAA"}, "public_key"),
    ({"public_key": "!"}, "public_key"), ({"public_key": base64.b64encode(bytes(32)).decode()},
                                          "public_key"),
    ({"probe_address": "edge.example:443"}, "probe_address"), ({"probe_address": 3}, "probe_address"),
])
def test_what_an_edge_says_of_itself_is_checked(api, change, field):
    body = {"token": "x", "name": "edge", "public_key": KEY, **change}
    answer = api.call("POST", "/edge/v1/enrol", body)
    assert answer.status == 422 and list(answer.json["errors"]) == [field]


def test_guessing_one_time_tokens_is_limited():
    api = Api()
    seen = [api.call("POST", "/edge/v1/enrol", {"token": f"tk-en-{i}", "name": "e",
                                                "public_key": KEY}).status for i in range(11)]
    assert seen == [401] * 10 + [429]
    api.close()


def test_edges_have_their_own_bearers(api):
    edge = enrol(api, "bearer-edge")
    cursor, _ = snapshot(api, edge["token"])
    for bearer in (None, "x", api.session("olga"), api.tokens["olga"]):
        answer = changes(api, bearer, cursor)
        assert answer.status == 401 and answer.json["error"]
        assert api.call("GET", "/edge/v1/snapshot", bearer=bearer).status == 401
    # And an edge's opens nothing else.
    assert api.call("GET", "/v1/apps", bearer=edge["token"]).status == 401
    listed = api.call("GET", "/v1/edges", user="olga").json["edges"]
    assert edge["edge"] in [e["id"] for e in listed]
    assert api.call("DELETE", f"/v1/edges/{edge['edge']}", user="olga").status == 204
    assert changes(api, edge["token"], cursor).status == 401
    gone = api.call("DELETE", f"/v1/edges/{edge['edge']}", user="olga")
    assert gone.status == 404 and gone.json == {"resource": "edge", "error": "not found"}


# ---- following ----

def test_snapshot_and_changes(api):
    edge = enrol(api, "follower")
    app = new_app(api, "followed-app")
    cursor, objects = snapshot(api, edge["token"])
    keys = [(o["kind"], o["key"]) for o in objects]
    assert ("app", app["id"]) in keys
    assert ("name", "followed-app.osc-fr1.platform.example") in keys
    assert keys == sorted(keys)
    api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": "one.followed.test"}},
             user="alice")
    page = changes(api, edge["token"], cursor)
    assert page.status == 200 and page.json["more"] is False
    assert [(o["kind"], o["key"], o["deleted"]) for o in page.json["objects"]] == \
        [("name", "one.followed.test", False)]
    assert page.json["rev"] == page.json["objects"][0]["rev"] > cursor["rev"]
    empty = changes(api, edge["token"], cursor_of(page.json))
    assert empty.status == 200 and empty.json["objects"] == []


def test_the_cursor_is_the_acknowledgement(api):
    edge = enrol(api, "acking")

    def mine():
        return next(e for e in api.call("GET", "/v1/edges", user="olga").json["edges"]
                    if e["id"] == edge["edge"])

    assert mine()["live"] is False and mine()["caught_up"] is False
    cursor, _ = snapshot(api, edge["token"])
    assert changes(api, edge["token"], cursor, joining=1).status == 200
    assert mine()["caught_up"] is False
    changes(api, edge["token"], cursor)
    assert mine()["live"] and mine()["caught_up"] and mine()["acked_revision"] == cursor["rev"]
    new_app(api, "acking-app")
    assert mine()["behind"] > 0
    page = changes(api, edge["token"], cursor)
    assert mine()["acked_revision"] == cursor["rev"]  # sent is not applied
    changes(api, edge["token"], cursor_of(page.json))
    assert mine()["acked_revision"] == page.json["rev"] and mine()["behind"] == 0


@pytest.mark.parametrize("change", [{"epoch": "other"}, {"rev": 999999}, {"id": "0" * 16},
                                    {"id": "x" * 200}, {"epoch": "y" * 200}])
def test_unknown_cursors_mean_a_new_snapshot(api, change):
    edge = enrol(api, "lost")
    new_app(api, f"lost-app-{abs(hash(str(change))) % 100000}")
    cursor, _ = snapshot(api, edge["token"])
    answer = changes(api, edge["token"], {**cursor, **change})
    assert answer.status == 410 and answer.json == {"error": "resync"}


@pytest.mark.parametrize("query", ["", "epoch=a", "epoch=a&rev=x&id=b", "epoch=a&rev=-1&id=b",
                                   "epoch=a&rev=1&id=b&wait=11", "epoch=a&rev=1&id=b&wait=x"])
def test_cursors_that_are_none(api, query):
    edge = enrol(api, "crooked")
    answer = api.call("GET", f"/edge/v1/changes?{query}", bearer=edge["token"])
    assert answer.status == 400 and answer.json["error"]


# ---- waiting ----

def in_thread(fn):
    got = []
    thread = threading.Thread(target=lambda: got.append((fn(), time.monotonic())))
    thread.start()
    return thread, got


def test_a_long_poll_wakes_at_the_change(api):
    edge = enrol(api, "waiting")
    cursor, _ = snapshot(api, edge["token"])
    thread, got = in_thread(lambda: changes(api, edge["token"], cursor, wait=10))
    time.sleep(0.5)
    assert not got
    began = time.monotonic()
    new_app(api, "waking-app")
    thread.join(5)
    answer, at = got[0]
    assert answer.status == 200 and answer.json["objects"] and at - began < 2


def test_a_long_poll_ends_by_itself(api):
    edge = enrol(api, "patient")
    cursor, _ = snapshot(api, edge["token"])
    began = time.monotonic()
    answer = changes(api, edge["token"], cursor, wait=1)
    assert answer.status == 200 and answer.json["objects"] == []
    assert 0.9 < time.monotonic() - began < 3


def test_many_waiting_edges_hold_no_worker():
    api = Api("api.workers=2")
    edge = enrol(api, "crowd")
    cursor, _ = snapshot(api, edge["token"])
    waiting = [in_thread(lambda: changes(api, edge["token"], cursor, wait=10)) for _ in range(30)]
    time.sleep(0.5)
    began = time.monotonic()
    assert api.call("GET", "/v1/health").status == 200
    assert time.monotonic() - began < 1
    new_app(api, "crowd-app")
    for thread, got in waiting:
        thread.join(10)
        assert got[0][0].status == 200 and got[0][0].json["objects"]
    api.close()


def test_the_end_answers_who_waits():
    api = Api()
    edge = enrol(api, "ending")
    cursor, _ = snapshot(api, edge["token"])
    waiting = [in_thread(lambda: changes(api, edge["token"], cursor, wait=10)) for _ in range(5)]
    idle = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(3)]
    half = socket.create_connection(("127.0.0.1", api.port))
    half.sendall(b"POST /v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    time.sleep(0.5)
    began = time.monotonic()
    api.close()  # asserts that it ended well
    assert time.monotonic() - began < 5
    for thread, got in waiting:
        thread.join(5)
        assert got[0][0].status == 503 and got[0][0].json["error"]
    for s in [*idle, half]:
        s.close()


def test_a_slow_request_is_answered_in_time():
    api = Api("api.timeout=1s", "api.workers=2")
    api.session("alice")
    began = time.monotonic()
    api.do("block", ms=4000)
    slow = api.call("POST", "/v1/apps", {"app": {"name": "slow-app"}}, user="alice")
    assert slow.status == 503 and slow.json["error"] and int(slow.headers["Retry-After"]) > 0
    # Readers are not held up.
    assert api.call("GET", "/v1/health").status == 200
    assert 0.9 < time.monotonic() - began < 3.9
    time.sleep(max(0, began + 4.5 - time.monotonic()))
    assert api.call("GET", "/v1/apps", user="alice").status == 200
    api.close()


def test_a_body_that_trickles_is_not_waited_for():
    api = Api("api.timeout=1s")
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as s:
        s.sendall(b"POST /v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        with pytest.raises(OSError):
            for _ in range(50):
                s.sendall(b"x")
                time.sleep(0.2)
    assert time.monotonic() - began < 4
    api.close()


def test_a_valid_call_among_10000_idle_connections():
    n = 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < n + 1000:
        pytest.skip(f"10,000 idle connections: only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n + 1000), hard))
    api = Api()
    begun = [b"", b"GET /v1/health HTTP/1.1\r\nHost:", b"POST /v1/apps HTTP/1.1\r\nHost: x\r\n"
             b"Content-Length: 10\r\n\r\n{"]
    idle = []
    try:
        api.session("alice")
        for k in range(n):
            idle.append(socket.create_connection(("127.0.0.1", api.port), timeout=10))
            idle[-1].sendall(begun[k % len(begun)])
        for _ in range(3):
            began = time.monotonic()
            assert api.call("GET", "/v1/apps", user="alice").status == 200
            assert time.monotonic() - began < 5
    finally:
        for s in idle:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert api.call("GET", "/v1/health").status == 200
    api.close()


def test_a_full_queue_is_told():
    api = Api("api.workers=1", "api.timeout=5s")
    api.session("alice")
    api.do("block", ms=2000)
    body = json.dumps({"app": {"name": "queue-app"}}).encode()
    head = (f"POST /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.session('alice')}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode()
    sockets = []
    for _ in range(100):
        s = socket.create_connection(("127.0.0.1", api.port), timeout=20)
        s.sendall(head + body)
        sockets.append(s)
    seen = []
    for s in sockets:
        got = b""
        while part := s.recv(65536):
            got += part
        seen.append(int(got[9:12]))
        s.close()
    assert seen.count(201) == 1 and seen.count(503) > 20 and seen.count(422) > 20
    assert set(seen) == {201, 422, 503}
    api.close()


def test_clients_that_leave_while_their_request_runs():
    api = Api("api.workers=2")
    edge = enrol(api, "leaving")
    cursor, _ = snapshot(api, edge["token"])
    query = "&".join(f"{k}={v}" for k, v in cursor.items())
    for _ in range(50):
        s = socket.create_connection(("127.0.0.1", api.port))
        s.sendall(f"GET /edge/v1/changes?{query}&wait=3 HTTP/1.1\r\nHost: x\r\n"
                  f"Authorization: Bearer {edge['token']}\r\n\r\n".encode())
        s.close()
    time.sleep(0.3)
    new_app(api, "left-app")
    assert api.call("GET", "/v1/health").status == 200
    api.close()


def test_the_unix_socket(api):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(api.socket)
        s.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200")
    import os
    import stat
    assert stat.S_IMODE(os.stat(api.socket).st_mode) == 0o660
