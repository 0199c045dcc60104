"""The API on a real store: shapes, errors, rights, and what comes over the wire."""

import base64
import hashlib
import hmac
import json
import re
import socket
import threading
import time

import pytest

from api_testd import Api
from stack import ROOT

DATE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
ID = re.compile(r"^[0-9a-f]{24}$")


@pytest.fixture(scope="module")
def api():
    api = Api("platform.domain=platform.example", "names.any_tld=true", "app.domains_max=20",
              "upstream.allow=10.20.0.0/16,fd00:20::/32", "api.body_max=65536",
              "dnsd.zone=acme.platform.example")
    yield api
    api.close()


_serial = [0]


def new_app(api, user="alice"):
    _serial[0] += 1
    answer = api.call("POST", "/v1/apps", {"app": {"name": f"app-{_serial[0]:04}"}}, user=user)
    assert answer.status == 201, answer
    return answer.json["app"]


def new_name():
    _serial[0] += 1
    return f"www{_serial[0]}.example.com"


def add(api, app, name=None, user="alice", **more):
    answer = api.call("POST", f"/v1/apps/{app['id']}/domains",
                      {"domain": {"name": name or new_name(), **more}}, user=user)
    assert answer.status == 201, answer
    return answer.json["domain"]


def show(api, app, d):
    return api.call("GET", f"/v1/apps/{app['id']}/domains/{d['id']}", user="alice").json["domain"]


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# ---- logging in ----

def test_exchange_gives_a_real_jwt(api):
    answer = api.exchange(api.tokens["alice"])
    assert answer.status == 200 and list(answer.json) == ["token"]
    header, claims, signature = answer.json["token"].split(".")
    pad = lambda s: s + "=" * (-len(s) % 4)  # noqa: E731
    assert json.loads(base64.urlsafe_b64decode(pad(header)))["alg"] == "HS256"
    claims = json.loads(base64.urlsafe_b64decode(pad(claims)))
    assert isinstance(claims["exp"], int) and 3500 < claims["exp"] - time.time() <= 3600
    assert len(base64.urlsafe_b64decode(pad(signature))) == 32


def test_exchange_accepts_any_user_name(api):
    assert api.exchange(api.tokens["alice"], user="alice").status == 200


@pytest.mark.parametrize("header", [
    None, "Basic", "Basic !!!", "Basic " + base64.b64encode(b"no colon").decode(),
    "Basic " + base64.b64encode(b":").decode(), "Basic " + base64.b64encode(b":a\0b").decode(),
    "Bearer x",
])
def test_exchange_refuses_other_credentials(header):
    api = Api()  # a server of its own: failures are counted
    answer = api.call("POST", "/v1/tokens/exchange", {},
                      headers={"Authorization": header} if header else {})
    assert answer.status == 401 and isinstance(answer.json["error"], str)
    api.close()


def test_failed_exchanges_are_limited_by_address():
    api = Api()
    seen = [api.exchange("tk-us-wrong").status for _ in range(12)]
    assert seen[:10] == [401] * 10 and seen[10:] == [429, 429]
    answer = api.exchange(api.tokens["alice"])
    assert answer.status == 429 and answer.json["error"] and int(answer.headers["Retry-After"]) > 0
    # Behind the Unix socket the address is the one that nginx tells.
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(api.socket)
        basic = base64.b64encode(f":{api.tokens['alice']}".encode()).decode()
        s.sendall(f"POST /v1/tokens/exchange HTTP/1.1\r\nHost: x\r\nX-Real-IP: 192.0.2.9\r\n"
                  f"Authorization: Basic {basic}\r\nContent-Length: 0\r\n\r\n".encode())
        assert s.recv(100).startswith(b"HTTP/1.1 200")
    api.close()


def forge(token, header=None, claims=None, key=None):
    h, c, s = token.split(".")
    h = b64url(json.dumps(header).encode()) if header else h
    c = b64url(json.dumps(claims).encode()) if claims else c
    if key is not None:
        s = b64url(hmac.new(key, f"{h}.{c}".encode(), hashlib.sha256).digest())
    return f"{h}.{c}.{s}"


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.mark.parametrize("change", [
    lambda t: "", lambda t: "opaque", lambda t: t + "x", lambda t: t[:-4], lambda t: t + ".x",
    lambda t: forge(t, header={"alg": "none"}), lambda t: forge(t, header={"alg": "none"})[:-43],
    lambda t: forge(t, header={"alg": "HS512"}), lambda t: forge(t, key=b""),
    lambda t: forge(t, claims={**claims_of(t), "exp": 9999999999}),
    lambda t: forge(t, header={"alg": "HS256", "crit": ["x"]}),
    lambda t: "A" * 5000, lambda t: "..", lambda t: "a.b.c",
])
def test_bearers_that_are_not_ours(api, change):
    answer = api.call("GET", "/v1/apps", bearer=change(api.session("alice")),
                      headers={} if change(api.session("alice")) else {"Authorization": "Bearer "})
    assert answer.status == 401 and answer.json["error"]
    assert "Bearer" in answer.headers["WWW-Authenticate"]


def test_no_bearer(api):
    assert api.call("GET", "/v1/apps").status == 401


def test_a_revoked_token_ends_its_sessions(api):
    made = api.call("POST", "/v1/tokens", {"token": {"name": "laptop"}}, user="bob")
    assert made.status == 201
    token = made.json["token"]
    assert isinstance(token["id"], str) and token["name"] == "laptop"
    assert token["token"].startswith("tk-us-") and len(token["token"]) == 49
    assert DATE.match(token["created_at"]) and token["last_used_at"] is None
    session = api.exchange(token["token"]).json["token"]
    assert api.call("GET", "/v1/users/self", bearer=session).status == 200
    listed = api.call("GET", "/v1/tokens", user="bob").json["tokens"]
    ours = next(t for t in listed if t["id"] == token["id"])
    assert DATE.match(ours["last_used_at"]) and "token" not in ours
    # Not by somebody else.
    gone = api.call("DELETE", f"/v1/tokens/{token['id']}", user="alice")
    assert gone.status == 404 and gone.json == {"resource": "token", "error": "not found"}
    assert api.call("DELETE", f"/v1/tokens/{token['id']}", user="bob").status == 204
    assert api.call("GET", "/v1/users/self", bearer=session).status == 401
    assert api.exchange(token["token"]).status == 401


def test_tokens_unrooted_as_npm_sends_it(api):
    made = api.call("POST", "/v1/tokens", {"name": "npm"}, user="bob")
    assert made.status == 201 and made.json["token"]["name"] == "npm"


@pytest.mark.parametrize("body", [{}, {"token": {}}, {"token": {"name": ""}}, {"name": 3},
                                  {"name": "x" * 256}, []])
def test_a_token_needs_a_name(api, body):
    answer = api.call("POST", "/v1/tokens", body, user="bob")
    assert answer.status == 422 and answer.json["errors"]["name"]


def test_self(api):
    user = api.call("GET", "/v1/users/self?", user="alice").json["user"]
    assert user["username"] == "alice" and user["email"] == "alice@example.com"
    assert user["flags"] == {} and ID.match(user["id"]) and user["fullname"]
    assert api.call("GET", "/v1/users/self", user="olga").json["user"]["flags"] == {}


# ---- the platform ----

def test_regions_with_and_without_login(api):
    for user in (None, "alice"):
        regions = api.call("GET", "/v1/regions?", user=user).json["regions"]
        assert len(regions) == 1
        r = regions[0]
        assert r["name"] == "osc-fr1" and r["default"] is True
        assert r["api"] == api.url and r["database_api"] == api.url
        assert all(isinstance(v, str) for k, v in r.items() if k != "default")


def test_region_url_behind_a_proxy_and_by_setting():
    api = Api("api.public_url=https://api.example.net/")
    assert api.call("GET", "/v1/regions").json["regions"][0]["api"] == "https://api.example.net"
    api.close()


def test_region_url_follows_the_proxy(api):
    r = api.call("GET", "/v1/regions", headers={"Host": "api.local.test:8443",
                                                "X-Forwarded-Proto": "https"})
    assert r.json["regions"][0]["api"] == "https://api.local.test:8443"


def test_region_url_has_a_dot(api):
    for host, url in (("localhost", "http://127.0.0.1"), ("localhost:99", "http://127.0.0.1:99"),
                      ("localhost.example", "http://localhost.example")):
        r = api.call("GET", "/v1/regions", headers={"Host": host})
        assert r.json["regions"][0]["api"] == url


def test_stacks(api):
    stacks = api.call("GET", "/v1/features/stacks?", user="alice").json["stacks"]
    assert stacks[0]["deprecated_at"] is None and stacks[0]["default"] is True


def test_health_needs_no_login(api):
    answer = api.call("GET", "/v1/health")
    assert answer.status == 200 and answer.json["status"] == "ok"
    assert isinstance(answer.json["revision"], int)


# ---- apps ----

def test_app_object(api):
    app = new_app(api)
    assert ID.match(app["id"]) and app["region"] == "osc-fr1" and app["status"] == "new"
    assert app["owner"]["username"] == "alice" and app["owner"]["email"] == "alice@example.com"
    assert app["project"] is None and app["flags"] == {} and app["last_deployed_at"] is None
    assert DATE.match(app["created_at"]) and DATE.match(app["updated_at"])
    assert app["url"] == f"https://{app['name']}.osc-fr1.platform.example"
    assert [app[k] for k in ("force_https", "sticky_session", "router_logs", "hds_resource")] == \
        [False] * 4
    by_name = api.call("GET", f"/v1/apps/{app['name']}?", user="alice")
    assert by_name.status == 200 and by_name.json == {"app": app}
    listed = api.call("GET", "/v1/apps?", user="alice").json["apps"]
    assert app in listed


def test_an_account_without_apps_has_an_empty_list():
    api = Api()
    assert api.call("GET", "/v1/apps", user="bob").json == {"apps": []}
    app = new_app(api)
    assert app["url"] is None  # no platform domain is set
    api.close()


@pytest.mark.parametrize("name", [
    "", "a", "ab", "UPPER-case", "under_score", "-begin", "end-", "two--hyphens", "dot.ted", "é" * 5,
    "x" * 49, "0123456789abcdef01234567", None, 7])
def test_app_names_that_are_refused(api, name):
    answer = api.call("POST", "/v1/apps", {"app": {"name": name}}, user="alice")
    assert answer.status == 422 and isinstance(answer.json["errors"]["name"][0], str)


def test_a_taken_app_name(api):
    app = new_app(api)
    for user in ("alice", "bob"):
        answer = api.call("POST", "/v1/apps", {"app": {"name": app["name"]}}, user=user)
        assert answer.status == 422
        assert answer.json == {"errors": {"name": ["has already been taken"]}}


@pytest.mark.parametrize("body", [{}, {"app": None}, {"app": []}, [], "x", None])
def test_app_is_missing(api, body):
    answer = api.call("POST", "/v1/apps", raw_body=json.dumps(body), user="alice")
    assert answer.status == 422 and answer.json == {"errors": {"app": ["missing field"]}}


@pytest.mark.parametrize("field,value", [("project_id", "prj"), ("parent_id", "x"),
                                         ("stack_id", "scalingo-22"), ("hds_resource", True)])
def test_what_the_platform_has_not_is_refused(api, field, value):
    answer = api.call("POST", "/v1/apps", {"app": {"name": "refused-app", field: value}},
                      user="alice")
    assert answer.status == 422 and field in answer.json["errors"]
    assert api.call("GET", "/v1/apps/refused-app", user="alice").status == 404


def test_dry_run_makes_nothing(api):
    answer = api.call("POST", "/v1/apps", {"app": {"name": "dry-app"}}, user="alice",
                      headers={"X-Dry-Run": "true"})
    assert answer.status == 201 and answer.json["app"]["name"] == "dry-app"
    assert api.call("GET", "/v1/apps/dry-app", user="alice").status == 404


def test_settings_in_both_shapes(api):
    app = new_app(api)
    path = f"/v1/apps/{app['id']}"
    for field in ("force_https", "sticky_session", "router_logs"):
        answer = api.call("PUT", path, {field: True}, user="alice")
        assert answer.status == 200 and answer.json["app"][field] is True
        answer = api.call("PATCH", path, {"app": {field: False, "unknown": 1}}, user="alice")
        assert answer.status == 200 and answer.json["app"][field] is False
    assert api.call("PUT", path, {"project_id": ""}, user="alice").status == 200
    for method, body in (("PUT", {"force_https": "yes"}), ("PUT", {"force_https": None}),
                         ("PATCH", {"app": {"force_https": 1}})):
        answer = api.call(method, path, body, user="alice")
        assert answer.status == 422 and answer.json["errors"]["force_https"]
    assert api.call("PATCH", path, {"force_https": True}, user="alice").status == 422
    assert api.call("PUT", path, [], user="alice").status == 422


def test_destroy_wants_the_name(api):
    app = new_app(api)
    add(api, app, "gone.example.com")
    api.do("hooks")
    for query in ("", "?", "?current_name=", "?current_name=other"):
        answer = api.call("DELETE", f"/v1/apps/{app['name']}{query}", user="alice")
        assert answer.status == 422 and answer.json["errors"]["current_name"]
    answer = api.call("DELETE", f"/v1/apps/{app['name']}?current_name={app['name']}", user="alice")
    assert answer.status == 204 and answer.text == ""
    assert api.do("hooks").startswith("removed:")
    assert api.call("GET", f"/v1/apps/{app['name']}", user="alice").status == 404
    again = new_app(api)
    answer = api.call("DELETE", f"/v1/apps/{again['id']}?current_name={again['name']}", user="alice")
    assert answer.status == 204 and answer.text == ""


# ---- who sees what ----

def test_strangers_objects_are_absent(api):
    app = new_app(api)
    domain = add(api, app)
    absent = {"resource": "app", "error": "not found"}
    d = f"/v1/apps/{app['id']}/domains/{domain['id']}"
    for method, path, body in (
            ("GET", f"/v1/apps/{app['id']}", None), ("GET", f"/v1/apps/{app['name']}", None),
            ("PUT", f"/v1/apps/{app['id']}", {"force_https": True}),
            ("PATCH", f"/v1/apps/{app['id']}", {"app": {"force_https": True}}),
            ("DELETE", f"/v1/apps/{app['id']}?current_name={app['name']}", None),
            ("GET", f"/v1/apps/{app['id']}/upstreams", None),
            ("PUT", f"/v1/apps/{app['id']}/upstreams", {"upstreams": []}),
            ("PATCH", f"/v1/apps/{app['id']}/upstreams/127.0.0.1:80", {"upstream": {"drain": True}}),
            ("GET", f"/v1/apps/{app['id']}/domains", None),
            ("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": "a.example.com"}}),
            ("GET", f"/v1/apps/{app['id']}/events", None),
            ("GET", d, None), ("PATCH", d, {"domain": {"canonical": True}}), ("DELETE", d, None),
            ("GET", d + "/explain", None)):
        answer = api.call(method, path, body, user="bob")
        assert (answer.status, answer.json) == (404, absent), (method, path, answer)
        nothing = api.call(method, path.replace(app["id"], "0" * 24).replace(app["name"], "nothing"),
                           body, user="bob")
        assert (nothing.status, nothing.json) == (404, absent)
    # A domain of one app is not one of another of the same owner.
    other = new_app(api)
    answer = api.call("GET", f"/v1/apps/{other['id']}/domains/{domain['id']}", user="alice")
    assert answer.json == {"resource": "domain", "error": "not found"} and answer.status == 404
    assert app["id"] not in api.call("GET", "/v1/apps", user="bob").text
    assert app["id"] in api.call("GET", "/v1/apps", user="olga").text
    assert app["id"] in api.call("GET", "/v1/apps", user="rita").text


def test_readers_change_nothing(api):
    app = new_app(api)
    assert api.call("GET", f"/v1/apps/{app['id']}", user="rita").status == 200
    for method, path, body in (
            ("POST", "/v1/apps", {"app": {"name": "readers-app"}}),
            ("PUT", f"/v1/apps/{app['id']}", {"force_https": True}),
            ("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": "b.example.com"}}),
            ("DELETE", f"/v1/apps/{app['id']}?current_name={app['name']}", None)):
        answer = api.call(method, path, body, user="rita")
        assert answer.status == 403 and answer.json["error"]


def test_operators_doors(api):
    for method, path in (("GET", "/v1/edges"), ("POST", "/v1/edges/enrol-tokens"),
                         ("DELETE", "/v1/edges/" + "0" * 24), ("GET", "/v1/events")):
        body = {} if method == "POST" else None
        assert api.call(method, path, body, user="alice").status == 403
        assert api.call(method, path, body, user="olga").status in (200, 201, 404)


# ---- upstreams ----

def test_upstreams(api):
    app = new_app(api)
    path = f"/v1/apps/{app['id']}/upstreams"
    assert api.call("GET", path, user="olga").json == {"upstreams": []}
    answer = api.call("PUT", path, {"upstreams": [
        {"address": "127.0.0.1:3000", "weight": 3}, {"address": "[2001:DB8:0::1]:80"}]}, user="olga")
    assert answer.status == 200
    got = answer.json["upstreams"]
    assert {(u["address"], u["weight"]) for u in got} == {("127.0.0.1:3000", 3),
                                                          ("[2001:db8::1]:80", 1)}
    ids = {u["address"]: u["id"] for u in got}
    answer = api.call("PUT", path, {"upstreams": [{"address": "127.0.0.1:3000"}]}, user="olga")
    assert answer.json["upstreams"][0]["id"] == ids["127.0.0.1:3000"]
    assert api.call("GET", f"/v1/apps/{app['id']}", user="olga").json["app"]["status"] == "running"
    assert api.call("PUT", path, {"upstreams": []}, user="olga").json == {"upstreams": []}


def test_draining_an_upstream(api):
    app = new_app(api)
    path = f"/v1/apps/{app['id']}/upstreams"
    listed = api.call("PUT", path, {"upstreams": [
        {"address": "10.20.0.1:80"}, {"address": "[fd00:20::1]:80", "drain": True}]}, user="alice")
    one, two = listed.json["upstreams"]
    assert (one["drain"], two["drain"]) == (False, True)

    def patch(which, body, user="alice"):
        return api.call("PATCH", f"{path}/{which}", {"upstream": body}, user=user)

    def status():
        return api.call("GET", f"/v1/apps/{app['id']}", user="alice").json["app"]["status"]

    assert status() == "running"
    answer = patch(one["id"], {"drain": True})
    assert answer.status == 200 and answer.json == {"upstream": {**one, "drain": True}}
    assert status() == "stopped"
    # By address in any spelling, encoded or not; what is not given stays.
    answer = patch("%5BFD00:20:0::1%5D%3A80", {"weight": 9, "drain": False,
                                               "address": "[fd00:20::1]:80"})
    assert answer.json == {"upstream": {**two, "weight": 9, "drain": False}}
    assert patch("10.20.0.1:80", {"weight": 2}).json["upstream"]["drain"] is True
    listed = api.call("GET", path, user="alice").json["upstreams"]
    assert [(u["weight"], u["drain"]) for u in listed] == [(2, True), (9, False)]
    before = len(api.call("GET", f"/v1/apps/{app['id']}/events", user="alice").json["events"])
    assert patch(one["id"], {"drain": True}).status == 200      # nothing to do, nothing told
    events = api.call("GET", f"/v1/apps/{app['id']}/events", user="alice").json["events"]
    assert len(events) == before
    for body, field in (({"weight": 0}, "weight"), ({"weight": 101}, "weight"),
                        ({"drain": 1}, "drain"), ({"drain": None}, "drain"),
                        ({"address": "10.20.0.2:80"}, "address"), (None, "upstream"),
                        ([], "upstream")):
        answer = patch(one["id"], body)
        assert answer.status == 422 and list(answer.json["errors"]) == [field], (body, answer)
    for which in ("nobody", "10.20.0.9:80", "x" * 300):
        assert patch(which, {"drain": True}).json == {"resource": "upstream", "error": "not found"}
    assert patch(one["id"], {"drain": True}, user="rita").status == 403
    # A new list says anew which drain.
    again = api.call("PUT", path, {"upstreams": [{"address": "10.20.0.1:80"}]}, user="alice").json
    assert again["upstreams"] == [{**one, "weight": 1, "drain": False}]


@pytest.mark.parametrize("address", [
    "", "localhost:80", "example.com:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536",
    "127.0.0.1:+80", "127.1:80", "0x7f.0.0.1:80", "0177.0.0.1:80", "2001:db8::1:80", "[::1]",
    "[fe80::1%eth0]:80", "127.0.0.1:80 ", "169.254.169.254:80", "[fe80::1]:80",
    "[::ffff:10.0.0.1]:80", "[::ffff:169.254.169.254]:80", "[64:ff9b::a9fe:a9fe]:80", "0.0.0.0:80",
    "[::]:80", "224.0.0.1:80", "255.255.255.255:80", "[ff02::1]:80"])
def test_upstream_addresses_for_nobody(api, address):
    app = new_app(api)
    answer = api.call("PUT", f"/v1/apps/{app['id']}/upstreams",
                      {"upstreams": [{"address": address}]}, user="olga")
    assert answer.status == 422 and answer.json["errors"]["address"]


def test_own_listeners_are_no_upstreams(api):
    app = new_app(api)
    answer = api.call("PUT", f"/v1/apps/{app['id']}/upstreams",
                      {"upstreams": [{"address": f"127.0.0.1:{api.port}"}]}, user="olga")
    assert answer.status == 422 and "listener" in answer.json["errors"]["address"][0]


def test_edges_doors_are_no_upstreams():
    api = Api("edge.addresses=192.0.2.80,2001:db8::80", "edge.public_https_port=8443")
    app = new_app(api)
    for address in ("192.0.2.80:80", "192.0.2.80:8443", "[2001:db8::80]:8443"):
        answer = api.call("PUT", f"/v1/apps/{app['id']}/upstreams",
                          {"upstreams": [{"address": address}]}, user="olga")
        assert answer.status == 422, address
    answer = api.call("PUT", f"/v1/apps/{app['id']}/upstreams",
                      {"upstreams": [{"address": "192.0.2.80:3000"}]}, user="olga")
    assert answer.status == 200
    api.close()


def test_tenants_stay_inside_the_allowed_networks(api):
    app = new_app(api)
    path = f"/v1/apps/{app['id']}/upstreams"
    for address, wanted in (("10.20.255.1:80", 200), ("[fd00:20::1]:80", 200), ("10.21.0.1:80", 422),
                            ("127.0.0.1:80", 422), ("[::1]:80", 422), ("192.0.2.1:80", 422)):
        answer = api.call("PUT", path, {"upstreams": [{"address": address}]}, user="alice")
        assert answer.status == wanted, (address, answer)


@pytest.mark.parametrize("body,field", [
    ({}, "upstreams"), ({"upstreams": None}, "upstreams"), ({"upstreams": {}}, "upstreams"),
    ({"upstreams": [{"address": "10.20.0.1:80"}] * 2}, "address"),
    ({"upstreams": [{"address": "10.20.0.1:80", "weight": 0}]}, "weight"),
    ({"upstreams": [{"address": "10.20.0.1:80", "weight": 101}]}, "weight"),
    ({"upstreams": [{"address": "10.20.0.1:80", "weight": 1.5}]}, "weight"),
    ({"upstreams": [{"address": "10.20.0.1:80", "weight": -1}]}, "weight"),
    ({"upstreams": [{"weight": 1}]}, "address"), ({"upstreams": [7]}, "body"),
    ({"upstreams": [{"address": f"10.20.0.1:{i + 1}"} for i in range(65)]}, "upstreams")])
def test_upstream_bodies(api, body, field):
    app = new_app(api)
    answer = api.call("PUT", f"/v1/apps/{app['id']}/upstreams", body, user="alice")
    assert answer.status == 422 and list(answer.json["errors"]) == [field], answer


# ---- domains ----

def test_domain_object(api):
    app = new_app(api)
    d = add(api, app, "Www.Example.COM")
    assert ID.match(d["id"]) and d["app_id"] == app["id"]
    assert d["name"] == "Www.Example.COM" and d["ascii"] == "www.example.com"
    assert DATE.match(d["created_at"]) and d["validity"] is None
    assert d["letsencrypt_enabled"] is True and d["letsencrypt"] is False
    assert d["letsencrypt_status"] == "pending_dns" and d["canonical"] is False
    assert d["ssl"] is False and d["ssl_status"] == "pending"
    assert d["tlscert"] is None and d["tlskey"] is None
    assert d["acme_dns_error"] == {} and d["acme_dns_fqdn"] is None
    assert d["acme_dns_value"] is None and d["acme_challenge_error"] is None
    assert d["word"] == "Pending DNS" and d["reason"] == "DNS has not been looked at yet."
    assert DATE.match(d["next_try_at"])
    for which in (d["id"], "Www.Example.COM", "www.example.com"):
        got = api.call("GET", f"/v1/apps/{app['name']}/domains/{which}?", user="alice")
        assert got.status == 200 and got.json == {"domain": d}
    assert api.call("GET", f"/v1/apps/{app['name']}/domains?", user="alice").json == {"domains": [d]}
    assert "added:www.example.com" in api.do("hooks")
    gone = api.call("DELETE", f"/v1/apps/{app['id']}/domains/{d['id']}?", user="alice")
    assert gone.status == 204 and gone.text == ""
    assert api.do("hooks") == f"removed:{d['id']}"
    gone = api.call("DELETE", f"/v1/apps/{app['id']}/domains/{d['id']}?", user="alice")
    assert gone.status == 404 and gone.json == {"resource": "domain", "error": "not found"}


def test_terraforms_body(api):
    app = new_app(api)
    d = add(api, app, canonical=True, letsencrypt_enabled=True)
    assert d["canonical"] is True


def test_domain_without_acme(api):
    app = new_app(api)
    d = add(api, app, letsencrypt_enabled=False)
    assert d["letsencrypt_enabled"] is False and d["letsencrypt_status"] is None
    assert d["word"] == "Disabled" and d["ssl"] is False and d["ssl_status"] == "error"
    assert d["next_try_at"] is None and "switched off" in d["reason"]


def test_wildcards_say_what_they_need(api):
    app = new_app(api)
    d = add(api, app, "*.wild.example.com")
    assert d["name"] == "*.wild.example.com" and d["letsencrypt_status"] == "new"
    assert d["word"] == "Creating" and d["reason"] and d["next_try_at"]
    assert d["acme_dns_fqdn"] is d["acme_dns_value"] is d["acme_dns_until"] is None
    assert d["acme_dns_error"] == {} and d["acme_method"] is None
    answer = api.call("POST", f"/v1/apps/{app['id']}/domains",
                      {"domain": {"name": "*.wild2.example.com", "canonical": True}}, user="alice")
    assert answer.status == 422 and answer.json["errors"]["canonical"]
    answer = api.call("PATCH", f"/v1/apps/{app['id']}/domains/{d['id']}",
                      {"domain": {"canonical": True}}, user="alice")
    assert answer.status == 422 and answer.json["errors"]["canonical"]
    encoded = api.call("GET", f"/v1/apps/{app['id']}/domains/%2A.wild.example.com", user="alice")
    assert encoded.json["domain"]["id"] == d["id"]


def test_a_wildcard_that_waits_shows_its_record(api):
    app = new_app(api)
    d = add(api, app, "*.waits.example.com")
    until = 1795000000
    assert api.do("domain", id=d["id"], phase="manual", acme_method="dns-01:manual",
                  acme_dns_fqdn="_acme-challenge.waits.example.com", acme_dns_value="v" * 43,
                  acme_dns_until=until, problem="dns.manual", reason="Make the record.",
                  record=f'_acme-challenge.waits.example.com. TXT "{"v" * 43}"') == "ok"
    d = show(api, app, d)
    assert (d["letsencrypt_status"], d["word"]) == ("dns_required", "Action required")
    assert d["acme_dns_fqdn"] == "_acme-challenge.waits.example.com"
    assert d["acme_dns_value"] == "v" * 43 and d["acme_dns_until"] == "2026-11-18T11:06:40.000Z"
    assert d["acme_dns_error"] == {} and d["acme_method"] == "dns-01:manual"
    listed = api.call("GET", f"/v1/apps/{app['id']}/domains", user="alice").json["domains"][0]
    assert listed["acme_dns_value"] == "v" * 43 and "acme_options" not in listed
    options = {o["kind"]: o for o in d["acme_options"]}
    assert [o["forever"] for o in d["acme_options"]] == [True] * (len(options) - 1) + [False]
    manual = options["manual"]
    assert manual["in_use"] and not manual["seen"] and not manual["forever"]
    assert manual["record"] == {"name": "_acme-challenge.waits.example.com", "type": "TXT",
                                "value": "v" * 43}
    told = api.cli("--app", app["name"], "domains").stdout
    assert told.endswith(f"\t_acme-challenge.waits.example.com. TXT \"{'v' * 43}\"\n")
    told = api.cli("--app", app["name"], "domains-explain", "*.waits.example.com").stdout
    assert "Proved by" in told and "Good until" in told and "Ways to prove" in told

    # The same at a renewal: for the platform's clients it is served, for ours a record is missing.
    assert api.do("cert", id=d["id"], seen=True) == "ok"
    renewal = show(api, app, d)
    assert renewal["letsencrypt_status"] == "created" and renewal["acme_dns_fqdn"] is None
    assert renewal["record"] == d["record"] and renewal["reason"] == "Make the record."
    told = api.cli("--app", app["name"], "domains").stdout
    assert "\tIn use\t" in told and told.endswith(f"\t{d['record']}\n")
    assert api.do("cert", id=d["id"], to_s=-5, seen=True) == "ok"

    # Under way again: the record is of no use any more.
    api.do("domain", id=d["id"], phase="work")
    d = show(api, app, d)
    assert d["acme_dns_fqdn"] is d["acme_dns_value"] is d["acme_dns_until"] is None
    api.do("domain", id=d["id"], phase="manual")
    # Switched off, nothing is shown; switched on, it begins anew.
    path = f"/v1/apps/{app['id']}/domains/{d['id']}"
    off = api.call("PATCH", path, {"domain": {"letsencrypt_enabled": False}}, user="alice").json
    assert "acme_options" not in off["domain"] and off["domain"]["acme_method"] is None
    assert off["domain"]["letsencrypt_status"] is off["domain"]["acme_dns_fqdn"] is None
    on = api.call("PATCH", path, {"domain": {"letsencrypt_enabled": True}}, user="alice").json
    assert on["domain"]["letsencrypt_status"] == "new" and on["domain"]["next_try_at"]


def test_the_ways_are_offered_where_they_work_and_the_best_one_first(api):
    app = new_app(api)
    by_kind = {}
    for name in ("*.ways.example.com", "*.ways.example.org"):
        options = add(api, app, name)["acme_options"]
        by_kind[name] = {o["kind"]: o for o in options}
        assert all(not o["in_use"] and not o["seen"] and o["text"] for o in options)
    assert list(by_kind["*.ways.example.org"]) == ["delegation", "provider", "manual"]
    ways = by_kind["*.ways.example.com"]
    assert list(ways) == ["dns-persist-01", "delegation", "provider", "manual"]
    assert ways["dns-persist-01"]["record"] == {
        "name": "_validation-persist.ways.example.com", "type": "TXT",
        "value": "ca.example; accounturi=https://ca.example/a/1; policy=wildcard"}
    record = ways["delegation"]["record"]
    assert (record["name"], record["type"]) == ("_acme-challenge.ways.example.com", "CNAME")
    assert re.match(r"^[a-z2-7]{32}\.acme\.platform\.example$", record["value"])
    assert ways["manual"]["record"]["value"] is None


@pytest.mark.parametrize("stored, shown", [
    ("", {}), ("nonsense", {}), ('"text"', {}), ("[1]", {}),
    ('{"dns_provider":"ovh","variables":["DNS_OVH_ENDPOINT"]}',
     {"dns_provider": "ovh", "variables": ["DNS_OVH_ENDPOINT"]}),
    ('{"dns_provider":"nobody","variables":null}', {"dns_provider": "nobody", "variables": None})])
def test_what_is_wrong_with_the_providers_variables_is_an_object(api, stored, shown):
    app = new_app(api)
    d = add(api, app, f"*.{new_name()}")
    assert d["acme_dns_error"] == {}
    assert api.do("domain", id=d["id"], phase="blocked", acme_dns_error=stored) == "ok"
    d = show(api, app, d)
    assert d["acme_dns_error"] == shown and d["letsencrypt_status"] == "dns_required"
    assert d["acme_dns_fqdn"] is None
    if shown:
        told = api.cli("--app", app["name"], "domains-explain", d["name"]).stdout
        assert f"wrong for DNS provider {shown['dns_provider']}" in told


def test_only_wildcards_have_options(api):
    app = new_app(api)
    assert "acme_options" not in add(api, app)
    d = add(api, app, f"*.{new_name()}")
    provider = next(o for o in d["acme_options"] if o["kind"] == "provider")
    assert provider["provider"] is None and provider["variables"] == []
    assert provider["record"] is None and "ovh" in provider["providers"]
    api.call("POST", f"/v1/apps/{app['id']}/variables",
             {"variable": {"name": "DNS_PROVIDER", "value": "ovh"}}, user="alice")
    provider = next(o for o in show(api, app, d)["acme_options"] if o["kind"] == "provider")
    assert provider["provider"] == "ovh" and "DNS_OVH_ENDPOINT" in provider["variables"]


def test_the_platforms_certificates_are_for_operators(api):
    p = api.call("GET", "/v1/platform", user="olga").json["platform"]
    assert p["names"] == "*.osc-fr1.platform.example"
    assert [s["origin"] for s in p["ladder"]] == ["files", "acme", "local"]
    assert not any(s["valid"] or s["served"] for s in p["ladder"])
    assert p["app"] is None and p["domain"] is None  # platform.acme is off
    assert api.call("GET", "/v1/platform", user="alice").status == 403
    told = [line.split("\t") for line in api.cli("platform", user="olga").stdout.splitlines()]
    assert [row[0] for row in told] == ["files", "acme", "local"]


def test_dns_providers_are_listed(api):
    listed = api.call("GET", "/v1/dns_providers", user="alice").json["dns_providers"]
    variables = {p["name"]: p["variables"] for p in listed}
    assert {"azure", "cloudflare", "dnsimple", "gandi", "gandiv5", "gcloud", "godaddy", "ovh",
            "route53"} <= set(variables)
    assert variables["godaddy"] == ["DNS_GODADDY_API_KEY", "DNS_GODADDY_API_SECRET"]
    assert api.call("GET", "/v1/dns_providers").status == 401
    told = dict(line.split("\t") for line in api.cli("dns-providers").stdout.splitlines())
    assert told == {name: " ".join(names) for name, names in variables.items()}
    # The guide names them all.
    guide = (ROOT / "docs" / "dns-providers.md").read_text()
    for name, names in variables.items():
        assert f"`{name}`" in guide and all(f"`{v}`" in guide for v in names), name


def test_whoever_follows_variables_is_told(api):
    app = new_app(api)
    path = f"/v1/apps/{app['id']}/variables"
    told = f"variables:{app['id']}"
    api.do("hooks")
    one = api.call("POST", path, {"variable": {"name": "A", "value": "1"}}, user="alice").json
    assert api.do("hooks") == told
    one = f"{path}/{one['variable']['id']}"
    api.call("PATCH", one, {"variable": {"value": "2"}}, user="alice")
    assert api.do("hooks") == told
    api.call("PUT", path, {"variables": None}, user="alice")
    assert api.do("hooks") == ""
    api.call("PUT", path, {"variables": [{"name": "B", "value": "1"}]}, user="alice")
    assert api.do("hooks") == told
    api.call("DELETE", one, user="alice")
    assert api.do("hooks") == told
    v2 = f"/v2/self/applications/{app['id']}/env/C"
    api.call("PUT", v2, {"value": "1"}, user="alice")
    assert api.do("hooks") == told
    api.call("DELETE", v2, user="alice")
    assert api.do("hooks") == told


@pytest.mark.parametrize("name", [
    None, "", "nodot", "192.0.2.1", "a b.example.com", "http://www.example.com", "www.example.com:80",
    "-a.example.com", "x" * 64 + ".example.com", "a..example.com", "under_score.example.com",
    "*.*.example.com", "www.*.example.com", "x." * 130 + "com", 7, ["a.example.com"]])
def test_names_that_are_refused(api, name):
    app = new_app(api)
    answer = api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": name}},
                      user="alice")
    assert answer.status == 422 and isinstance(answer.json["errors"]["name"][0], str), answer


@pytest.mark.parametrize("name", ["platform.example", "other.osc-fr1.platform.example",
                                  "*.osc-fr1.platform.example", "x.PLATFORM.example"])
def test_the_platforms_names_are_not_given_away(api, name):
    app = new_app(api)
    answer = api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": name}},
                      user="alice")
    assert answer.status == 422 and "platform" in answer.json["errors"]["name"][0]


def test_a_name_is_held_once(api):
    app, other = new_app(api), new_app(api, user="bob")
    name = new_name()
    add(api, app, name)
    for user, a in (("alice", app), ("bob", other)):
        for spelling in (name, name.upper()):
            answer = api.call("POST", f"/v1/apps/{a['id']}/domains", {"domain": {"name": spelling}},
                              user=user)
            assert answer.status == 422
            text, = answer.json["errors"]["name"]
            assert text.startswith("has already been taken")
            assert ("proof" in answer.json) == (user == "bob")


def test_the_twenty_first_domain(api):
    app = new_app(api)
    for _ in range(20):
        add(api, app)
    answer = api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": new_name()}},
                      user="alice")
    assert answer.status == 422 and list(answer.json["errors"]) == ["domains"]


def test_the_limit_holds_for_a_crowd(api):
    app = new_app(api)
    for _ in range(15):
        add(api, app)
    names = [new_name() for _ in range(12)]
    api.session("alice")
    seen = []

    def one(name):
        seen.append(api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": name}},
                             user="alice").status)

    threads = [threading.Thread(target=one, args=(n,)) for n in names]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(seen) == [201] * 5 + [422] * 7


@pytest.mark.parametrize("body", [{}, {"domain": None}, {"domain": []}, {"domain": "x"}, []])
def test_domain_is_missing(api, body):
    app = new_app(api)
    answer = api.call("POST", f"/v1/apps/{app['id']}/domains", body, user="alice")
    assert answer.status == 422 and answer.json == {"errors": {"domain": ["missing field"]}}


def test_uploads_are_judged_and_their_end_is_always_possible(api):
    app = new_app(api)
    d = add(api, app)
    path = f"/v1/apps/{app['id']}/domains"
    for field in ("tlscert", "tlskey"):
        for method, p in (("PATCH", f"{path}/{d['id']}"), ("POST", path)):
            body = {"domain": {"name": d["name"] if method == "PATCH" else new_name(),
                               field: "-----BEGIN"}}
            answer = api.call(method, p, body, user="alice")
            assert answer.status == 422 and field in answer.json["errors"]
            assert answer.json["findings"][0]["code"] == "unreadable"
    answer = api.call("PATCH", f"{path}/{d['id']}", {"domain": {"tlscert": "", "tlskey": ""}},
                      user="alice")
    assert answer.status == 200 and answer.json["domain"]["id"] == d["id"]


def test_a_certificate_that_was_never_seen_served_is_got_anew(api):
    """Switching ACME off ended the order that was to look."""
    app = new_app(api)
    d = add(api, app)
    path = f"/v1/apps/{app['id']}/domains/{d['id']}"

    def switch(on):
        api.call("PATCH", path, {"domain": {"letsencrypt_enabled": on}}, user="alice")
        return api.call("GET", path + "/explain", user="alice").json["explain"]

    assert api.do("domain", id=d["id"], phase="work") == "ok"
    assert api.do("cert", id=d["id"]) == "ok"
    switch(False)
    assert switch(True)["order_due_at"] is not None
    assert api.do("cert", id=d["id"], seen=True) == "ok"
    due = switch(False)["order_due_at"]
    assert switch(True)["order_due_at"] == due


def test_requests_for_certificates(api):
    app = new_app(api)
    d = add(api, app)
    path = f"/v1/apps/{app['id']}/domains/{d['id']}/csr"
    assert api.call("GET", path, user="alice").json == {"csrs": []}
    made = api.call("POST", path, {}, user="alice")
    assert made.status == 201 and made.json["csr"]["key_type"] == "p256"
    assert made.json["csr"]["subject"] == f"/CN={d['name']}"
    assert api.call("GET", path, user="alice").json["csrs"] == [made.json["csr"]]
    for bad in ({"key_type": "dsa"}, {"country": "fr"}, {"organization": "x" * 65},
                {"email": "\u00e9@x"}, {"common_name": "a\u0007b"}, {"unit": 7}):
        answer = api.call("POST", path, {"csr": bad}, user="alice")
        assert answer.status == 422 and list(answer.json["errors"]) == list(bad)
    assert api.call("GET", path, user="bob").status == 404
    assert api.call("POST", path, {}, user="rita").status in (403, 404)
    for _ in range(9):
        assert api.call("POST", path, {"csr": {"key_type": "p384"}}, user="alice").status == 201
    assert list(api.call("POST", path, {}, user="alice").json["errors"]) == ["csr"]
    one = f"{path}/{made.json['csr']['id']}"
    assert api.call("DELETE", one, user="bob").status == 404
    assert api.call("DELETE", one, user="alice").status == 204
    assert api.call("DELETE", one, user="alice").json["resource"] == "csr"
    gone = f"/v1/apps/{app['id']}/domains/{d['id']}"
    assert api.call("DELETE", gone, user="alice").status == 204


def test_a_check_stores_nothing(api):
    def check(**certificate):
        return api.call("POST", "/v1/certificates/check", {"certificate": certificate},
                        user="rita")

    answer = check(tlscert="hello")
    assert answer.status == 200 and answer.json["report"]["accepted"] is False
    assert answer.json["report"]["findings"][0]["code"] in ("unreadable", "not_a_certificate")
    assert list(check(tlscert=1).json["errors"]) == ["tlscert"]
    assert list(check(name="a b").json["errors"]) == ["name"]
    assert api.call("POST", "/v1/certificates/check", {}, user="rita").status == 422


def test_patch_changes_only_what_is_given(api):
    app = new_app(api)
    d = add(api, app)
    path = f"/v1/apps/{app['id']}/domains/{d['id']}"
    api.do("hooks")
    off = api.call("PATCH", path, {"domain": {"letsencrypt_enabled": False}}, user="alice")
    assert off.status == 200 and off.json["domain"]["letsencrypt_status"] is None
    assert api.do("hooks") == f"changed:{d['name']}"
    on = api.call("PATCH", path, {"domain": {"letsencrypt_enabled": True}}, user="alice")
    assert on.json["domain"]["letsencrypt_status"] == "pending_dns"
    assert DATE.match(on.json["domain"]["next_try_at"])
    same = api.call("PATCH", path, {"domain": {}}, user="alice")
    assert same.status == 200 and same.json == on.json
    for bad in ({"name": "other.example.com"}, {"canonical": "yes"}, {"letsencrypt_enabled": 1}):
        answer = api.call("PATCH", path, {"domain": bad}, user="alice")
        assert answer.status == 422 and list(answer.json["errors"]) == list(bad)
    assert api.call("PATCH", path, {}, user="alice").json["errors"]["domain"]


def test_one_canonical_domain(api):
    app = new_app(api)
    a, b = add(api, app, canonical=True), add(api, app)
    path = f"/v1/apps/{app['id']}/domains"

    def canonical():
        return [d["id"] for d in api.call("GET", path, user="alice").json["domains"]
                if d["canonical"]]

    assert canonical() == [a["id"]]
    api.call("PATCH", f"{path}/{b['id']}", {"domain": {"canonical": True}}, user="alice")
    assert canonical() == [b["id"]]
    c = add(api, app, canonical=True)
    assert canonical() == [c["id"]]
    api.call("PATCH", f"{path}/{c['id']}", {"domain": {"canonical": False}}, user="alice")
    assert canonical() == []


# ---- the table of states ----

def state(api, app, d):
    got = api.call("GET", f"/v1/apps/{app['id']}/domains/{d['id']}", user="alice").json["domain"]
    return (got["letsencrypt_status"], got["letsencrypt"], got["ssl"], got["ssl_status"],
            got["word"]), got


def test_states_by_the_table(api):
    app = new_app(api)
    d = add(api, app)
    assert api.do("domain", id=d["id"], phase="work", reason="An order is open.") == "ok"
    assert state(api, app, d)[0] == ("new", False, False, "pending", "Creating")
    assert api.do("domain", id=d["id"], phase="blocked", problem="caa", reason="CAA says no.",
                  failures=1) == "ok"
    seen, got = state(api, app, d)
    assert seen == ("error", False, False, "error", "Action required")
    assert got["acme_challenge_error"] == "CAA says no."
    # Issued, but no edge was seen serving it.
    api.do("domain", id=d["id"], phase="work", problem="", reason="", failures=0)
    assert api.do("cert", id=d["id"]) == "ok"
    assert state(api, app, d)[0] == ("new", False, False, "pending", "Creating")
    assert api.do("cert", id=d["id"], seen=True) == "ok"
    seen, got = state(api, app, d)
    assert seen == ("created", True, True, "success", "In use")
    assert got["tlscert"] == f"/CN={d['name']}" and DATE.match(got["validity"])
    assert got["tlskey"] == "EC private key - 256 bits"
    assert api.do("cert", id=d["id"], origin="custom", key_type="p384") == "ok"
    seen, got = state(api, app, d)
    assert seen == ("created", False, True, "success", "Not used")
    assert got["tlskey"] == "EC private key - 384 bits"
    # The custom one is over: ACME takes its place.
    api.do("cert", id=d["id"], origin="custom", from_s=-100, to_s=-1)
    assert state(api, app, d)[0] == ("created", True, True, "success", "In use")
    api.call("PATCH", f"/v1/apps/{app['id']}/domains/{d['id']}",
             {"domain": {"letsencrypt_enabled": False}}, user="alice")
    seen, got = state(api, app, d)
    assert seen == (None, False, False, "error", "Disabled") and got["validity"] is None
    api.call("PATCH", f"/v1/apps/{app['id']}/domains/{d['id']}",
             {"domain": {"letsencrypt_enabled": True}}, user="alice")
    assert state(api, app, d)[0] == ("created", True, True, "success", "In use")


def test_a_wildcard_of_the_same_owner_covers(api):
    app, foreign = new_app(api), new_app(api, user="bob")
    base = f"zone{_serial[0]}.example.org"
    wild = add(api, app, f"*.{base}")
    api.do("cert", id=wild["id"], seen=True)
    d = add(api, app, f"www.{base}")
    assert state(api, app, d)[0] == ("pending_dns", False, True, "success", "Pending DNS")
    deep = add(api, app, f"a.b.{base}")
    assert state(api, app, deep)[0][2] is False
    theirs = add(api, foreign, f"bob.{base}", user="olga", skip_proof=True)
    got = api.call("GET", f"/v1/apps/{foreign['id']}/domains/{theirs['id']}", user="bob")
    assert got.json["domain"]["ssl"] is False


# ---- explain ----

def test_explain(api):
    app = new_app(api)
    d = add(api, app)
    api.do("domain", id=d["id"], phase="work", problem="dns.elsewhere", reason="It points away.",
           evidence="A 192.0.2.7", record=f"{d['name']}. A 192.0.2.1", failures=2, next_try_in_s=45)
    assert api.do("order", id=d["id"], state="failed", detail="the CA saw nothing", ended=True) == "ok"
    assert api.do("order", id=d["id"], state="validating", attempt=2) == "ok"
    api.do("cert", id=d["id"], from_s=-100, to_s=-1, seen=True)
    e = api.call("GET", f"/v1/apps/{app['id']}/domains/{d['id']}/explain", user="alice")
    assert e.status == 200
    e = e.json["explain"]
    assert e["word"] == "Creating" and e["letsencrypt_status"] == "new" and e["phase"] == "work"
    assert e["problem"] == "dns.elsewhere" and e["reason"] == "It points away."
    assert e["evidence"] == "A 192.0.2.7" and e["record"] == f"{d['name']}. A 192.0.2.1"
    assert e["failures"] == 2 and DATE.match(e["next_try_at"]) and DATE.match(e["last_failure_at"])
    assert e["order"]["step"] == "validating" and DATE.match(e["order"]["since"])
    assert [(a["state"], a["attempt"]) for a in e["attempts"]] == [("validating", 2), ("failed", 1)]
    assert e["attempts"][1]["detail"] == "the CA saw nothing" and e["attempts"][1]["ended_at"]
    assert [x["kind"] for x in e["events"]] == ["domain.added"]
    assert e["events"][0]["actor"] == "user:alice"
    ladder = {s["origin"]: s for s in e["ladder"]}
    assert list(ladder) == ["custom", "acme", "wildcard", "default"]
    assert ladder["acme"]["why"] == "its time is over" and not ladder["acme"]["taken"]
    assert DATE.match(ladder["acme"]["certificate"]["not_after"])
    assert ladder["default"]["taken"] and ladder["custom"]["certificate"] is None
    assert e["domain"]["id"] == d["id"]


# ---- events ----

def test_events_tell_who_and_by_which_request(api):
    app = new_app(api)
    answer = api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": new_name()}},
                      user="alice", headers={"X-Request-Id": "trace-17.a_b"})
    assert answer.headers["X-Request-Id"] == "trace-17.a_b"
    events = api.call("GET", f"/v1/apps/{app['id']}/events", user="alice").json["events"]
    assert [e["kind"] for e in events] == ["domain.added", "app.created"]
    assert events[0]["request_id"] == "trace-17.a_b" and events[0]["actor"] == "user:alice"
    assert len(api.call("GET", f"/v1/apps/{app['id']}/events?limit=1", user="alice")
               .json["events"]) == 1
    for limit in ("0", "501", "x", ""):
        assert api.call("GET", f"/v1/apps/{app['id']}/events?limit={limit}",
                        user="alice").status == 400
    everything = api.call("GET", "/v1/events?limit=500", user="olga").json["events"]
    assert events[0] in everything


@pytest.mark.parametrize("given", ["", "a b", "x" * 64, "a\tb", "é", "a;b"])
def test_odd_request_ids_are_replaced(api, given):
    answer = api.call("GET", "/v1/health", headers={"X-Request-Id": given.encode()})
    assert ID.match(answer.headers["X-Request-Id"])


# ---- bodies ----

@pytest.mark.parametrize("body", [
    b"", b"{", b"{}{}", b"nope", b'{"app":{"name":"a","name":"b"}}', b"[" * 10000,
    b'{"a":' * 10000, b'{"app":{"name":"\\ud800"}}', b'{"app":{"name":"a\\u0000b"}}',
    b'{"app":{"name":"a\0b"}}', b'{"app":{"name":"\xff\xfe"}}', b'{"app":1e999}',
    b'{"app":99999999999999999999999}', b'\xef\xbb\xbf{}', b"{'app':1}", b"\xc0\xaf", b'"\xed\xa0\x80"'],
    ids=range(17))
def test_bodies_that_are_not_json(api, body):
    answer = api.call("POST", "/v1/apps", raw_body=body, user="alice")
    assert answer.status == 400
    assert answer.json["error"].startswith("There was a problem in the JSON you submitted: ")


def test_hostile_values_are_refused_before_the_database(api):
    for name in ("'; DROP TABLE apps; --", "\u202eevil", "a" * 60000):
        answer = api.call("POST", "/v1/apps", {"app": {"name": name}}, user="alice")
        assert answer.status == 422
    assert api.call("GET", "/v1/apps", user="alice").status == 200


# ---- paths and methods ----

def test_unknown_paths_and_methods(api):
    assert api.call("GET", "/v1/nothing", user="alice").json == {"error": "there is no such path"}
    for path in ("/", "/v1", "/v1/apps/a/b/c/d", "/V1/apps"):
        answer = api.call("GET", path, user="alice")
        assert answer.status == 404 and answer.json["error"]
    answer = api.call("DELETE", "/v1/apps", user="alice")
    assert answer.status == 405 and answer.headers["Allow"] == "GET, POST"
    answer = api.call("OPTIONS", "/v1/apps", user="alice")
    assert answer.status == 501 and answer.json["error"]
    head = api.raw(f"HEAD /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path,status", [
    ("/v1/apps/a%00b", 400), ("/v1/apps/%", 400), ("/v1/apps/%zz", 400), ("/v1/apps/%ff", 400),
    ("/v1//apps", 400), ("/v1/apps/", 400), ("/v1/../v1/apps", 400), ("/v1/%2e%2e/apps", 400),
    ("/v1/apps?x=%00", 400), ("/v1%2Fapps", 404), ("/v1/apps/a%2Fdomains", 404),
    ("/v1/apps/" + "a" * 5000, 400), ("/v1/apps?" + "&".join("a=1" for _ in range(17)), 400),
    ("/v1/apps/" + "/".join("a" * 20), 400), ("/v1/apps?", 200), ("/v1/%61pps", 200),
    ("/v1/apps?unknown=1&page=2", 200)])
def test_paths_are_taken_apart_strictly(api, path, status):
    answer = api.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                     f"{api.session('alice')}\r\nConnection: close\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer[:300]
    assert b"application/json" in answer


def test_an_encoded_slash_is_part_of_a_name(api):
    # Were it a border, this would be the list of the app's domains.
    app = new_app(api)
    answer = api.raw(f"GET /v1/apps/{app['id']}%2Fdomains HTTP/1.1\r\nHost: x\r\nAuthorization: "
                     f"Bearer {api.session('alice')}\r\nConnection: close\r\n\r\n")
    assert b'{"resource":"app","error":"not found"}' in answer


def test_absolute_form(api):
    answer = api.raw("GET http://anything.example/v1/health HTTP/1.1\r\nHost: x\r\n"
                     "Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


# ---- the wire ----

def refused(api, data, status):
    """The answer, after which the server hangs up and does not read on.  (libmicrohttpd 0.9.75
    sends the header of its own refusals twice.)"""
    got = api.raw(data + b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got.startswith(f"HTTP/1.1 {status} ".encode()), got[:300]
    assert b"no such path" not in got and b"Connection: close" in got, got
    assert len(set(re.findall(rb"HTTP/1.1 \d+", got))) == 1
    return got


POST = b"POST /v1/tokens/exchange HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("fields", [
    b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    b"Content-Length: 2\r\ncontent-length: 40\r\n\r\n{}",
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Host: y\r\nContent-Length: 2\r\n\r\n{}",
    b"Authorization: Basic a\r\nAuthorization: Basic b\r\nContent-Length: 2\r\n\r\n{}",
    b"X-Bad\x01: a\r\nContent-Length: 2\r\n\r\n{}",
    b"X-Ok: a\x01b\r\nContent-Length: 2\r\n\r\n{}",
])
def test_ambiguous_requests_end_the_connection(api, fields):
    got = refused(api, POST + fields, 400)
    assert b"Connection: close" in got and b'{"error":' in got


@pytest.mark.parametrize("fields", [
    b"Content-Length: +2\r\n\r\n{}", b"Content-Length: 0x2\r\n\r\n{}",
    b"Content-Length: 2, 2\r\n\r\n{}", b"Content-Length: -1\r\n\r\n{}", b"Content-Length:\r\n\r\n{}",
    b"Content-Length : 2\r\nContent-Length: 40\r\n\r\n{}",
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
])
def test_lengths_that_are_none(api, fields):
    refused(api, POST + fields, 400)


def test_a_missing_host(api):
    refused(api, b"GET /v1/health HTTP/1.1\r\n\r\n", 400)
    assert api.raw(b"GET /v1/health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.")


def test_a_raw_nul_in_the_request(api):
    for target in (b"/v1/health\0evil", b"/v1/health\0?x=1", b"/v1/health?x=\0", b"/v1/health\0"):
        refused(api, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400)


def test_a_body_over_the_limit(api):
    got = refused(api, POST + b"Content-Length: 65537\r\n\r\n", 413)
    assert b'{"error":' in got
    got = refused(api, POST + b"Content-Length: 99999999999999999999\r\n\r\n", 413)
    # The limit itself is fine.
    body = b" " * 65536
    got = api.raw(POST + b"Connection: close\r\nContent-Length: 65536\r\n\r\n" + body)
    assert got.startswith(b"HTTP/1.1 401")
    # Before the client sends it.
    got = api.raw(POST + b"Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 413")


def test_a_chunked_body(api):
    body = json.dumps({"app": {"name": f"chunk-{_serial[0]}-app"}}).encode()
    head = (f"POST /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.session('alice')}\r\n"
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n").encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 5]), body[i:i + 5])
                      for i in range(0, len(body), 5)) + b"0\r\n\r\n"
    assert api.raw(head + chunks).startswith(b"HTTP/1.1 201")
    big = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    got = api.raw(head + big * 3 + b"0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 413") and b'{"error":' in got
    got = api.raw(head + big * 100, timeout=5)  # nobody reads that for ever
    assert b" 2" not in got[:13]


def test_broken_requests_get_400(api):
    for data in (b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/health HTTP/9.9\r\nHost: x\r\n\r\n",
                 b"\x16\x03\x01\x02\x00\x01\x00", b"GET /v1/health HTTP/1.1\r\nno colon\r\n\r\n"):
        got = api.raw(data, timeout=3)
        assert got == b"" or re.match(rb"HTTP/1\.[01] (4|5)\d\d ", got), (data, got[:100])
    assert api.call("GET", "/v1/health").status == 200


def test_headers_that_are_too_large(api):
    got = api.raw(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 40000 + b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 (413|414|431) ", got)


def test_pipelined_requests_are_answered_in_order(api):
    one = b"GET /v1/%s HTTP/1.1\r\nHost: x\r\n%s\r\n"
    got = api.raw(one % (b"health", b"") + one % (b"nothing", b"") +
                  one % (b"regions", b"Connection: close\r\n"))
    assert [int(s) for s in re.findall(rb"HTTP/1.1 (\d+)", got)] == [200, 404, 200]


def test_answers_carry_the_common_headers(api):
    answer = api.call("GET", "/v1/health")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert ID.match(answer.headers["X-Request-Id"])
    app = new_app(api)
    raw = api.raw(f"DELETE /v1/apps/{app['id']}?current_name={app['name']} HTTP/1.1\r\nHost: x\r\n"
                  f"Authorization: Bearer {api.session('alice')}\r\nConnection: close\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 204") and b"\r\nContent-Type:" not in raw
    assert raw.endswith(b"\r\n\r\n")


def test_every_error_is_json_also_without_a_handler(api):
    for data in (b"GET /v1/nothing", b"BREW /v1/apps", b"PATCH /v1/health", b"GET /v1/apps",
                 b"GET /edge/v1/changes", b"GET /%00"):
        got = api.raw(data + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"Content-Type: application/json" in head and json.loads(body)["error"]


def test_secrets_are_not_logged(api):
    api.call("GET", "/v1/apps", user="alice")
    log = api.logged()
    for secret in [*api.tokens.values(), *api._sessions.values()]:
        assert secret not in log and secret.split(".")[-1] not in log
