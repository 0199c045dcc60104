"""Every operation in the table of routes against bodies, paths and tokens that are not right."""

import http.client
import json

import pytest

from api_testd import Api

BROKEN = {
    "no JSON": b"{", "nothing but blanks": b"  \n", "two values": b"{}{}", "a tail": b"{} x",
    "a name twice": b'{"a":1,"a":1}', "a name twice inside": b'{"app":{"name":"a","name":"b"}}',
    "arrays 10,000 deep": b"[" * 10000 + b"]" * 10000,
    "objects 10,000 deep": b'{"a":' * 10000 + b"1" + b"}" * 10000,
    "a high surrogate alone": b'{"a":"\\ud800"}', "a low one alone": b'{"a":"\\udc00"}',
    "surrogates the wrong way round": b'{"a":"\\udc00\\ud800"}',
    "a number without an end": b'{"a":' + b"9" * 400 + b"}", "1e999": b'{"a":1e999}',
    "NaN": b'{"a":NaN}', "Infinity": b'{"a":-Infinity}', "a leading zero": b'{"a":01}',
    "a raw NUL": b'{"a":"\0"}', "an escaped NUL": b'{"a":"\\u0000"}',
    "an escaped NUL in a name": b'{"a\\u0000b":1}', "not UTF-8": b'{"a":"\xff\xfe"}',
    "an overlong form": b'{"a":"\xc0\xaf"}', "an encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "UTF-16": '{"a":1}'.encode("utf-16"), "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "single quotes": b"{'a':1}", "a comment": b'{"a":1/**/}', "a comma too much": b'{"a":1,}',
    "a raw line end in a string": b'{"a":"\n"}', "an unknown escape": b'{"a":"\\x41"}',
}
WRONG = [b"7", b"true", b'"text"', b"[]", b'[{"app":1}]', b"1.5", b"-1", b"null"]
SEGMENTS = ["a%2Fb", "..%2F..", "%2E%2E", "%2e", "a%2F..%2Fb", "%252F", "%00", "a%00b", "%ff", "%c0%af",
            "%ed%a0%80", "%", "%zz", "%0d%0aX:%20y", "'%20OR%201=1--", "x" * 300, "%F0%9F%98%80", "*"]


@pytest.fixture(scope="module")
def api():
    api = Api("names.any_tld=true", "platform.domain=platform.example")
    yield api
    api.close()


@pytest.fixture(scope="module")
def things(api):
    """What stands for each word of a path."""
    app = api.call("POST", "/v1/apps", {"app": {"name": "hostile"}}, user="olga").json["app"]
    domain = api.call("POST", f"/v1/apps/{app['id']}/domains",
                      {"domain": {"name": "www.hostile.example"}}, user="olga").json["domain"]
    return {"app": app["id"], "id": domain["id"], "fqdn": "www.hostile.example", "user": "alice",
            "owner": "self", "name": "A"}


@pytest.fixture(scope="module")
def operations(api):
    doc = api.call("GET", "/openapi.json").json
    return [(method.upper(), path, op) for path, item in sorted(doc["paths"].items())
            for method, op in item.items()]


def fill(path, things, **other):
    parts = []
    for part in path.split("/"):
        word = part[1:-1] if part.startswith("{") else None
        parts.append(part if word is None else other.get(word, things.get(word, "nobody")))
    return "/".join(parts)


def takes_json(op):
    return "application/json" in op.get("requestBody", {}).get("content", {})


def send(api, method, path, body):
    bearer = api.tokens["olga"] if not path.startswith("/edge/v1/s") else None
    c = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    c.request(method, path, body=body, headers={
        "Authorization": f"Bearer {bearer}", "Content-Type": "application/json"})
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, r.headers, text


def is_refusal(status, headers, text):
    """An answer of ours that tells why, in JSON."""
    if not 400 <= status < 500 or not headers["Content-Type"].startswith("application/json"):
        return False
    said = json.loads(text)
    return bool(said.get("error") or said.get("errors") or said.get("message"))


def test_there_are_operations_with_bodies(operations):
    assert sum(takes_json(op) for _, _, op in operations) >= 25


@pytest.mark.parametrize("name", BROKEN)
def test_broken_json_is_refused_by_every_operation(api, operations, things, name):
    for method, path, op in operations:
        if not takes_json(op):
            continue
        answer = send(api, method, fill(path, things), BROKEN[name])
        assert answer[0] == 400 and is_refusal(*answer), (method, path, answer)


@pytest.mark.parametrize("body", WRONG)
def test_another_type_is_refused_by_every_operation(api, operations, things, body):
    for method, path, op in operations:
        if not takes_json(op):
            continue
        if body == b"null" and not op["requestBody"]["required"]:
            continue  # as good as nothing
        if body == b"[]" and method == "PUT" and path.endswith("/env"):
            continue  # an empty list of variables
        answer = send(api, method, fill(path, things), body)
        assert is_refusal(*answer), (method, path, body, answer)


def test_each_member_with_another_type(api, operations, things):
    """Whatever the description names as a member is given once as each other type."""
    tried = 0
    for method, path, op in operations:
        if not takes_json(op):
            continue
        schema = op["requestBody"]["content"]["application/json"]["schema"]
        for where, kind in members(schema, ()):
            for value in (7, "x", True, [], {}, [[]], {"a": {}}):
                if matches(kind, value):
                    continue
                body = value
                for key in reversed(where):
                    body = {key: body}
                status, headers, text = send(api, method, fill(path, things),
                                             json.dumps(body).encode())
                assert is_refusal(status, headers, text), (method, path, body, status, text)
                tried += 1
    assert tried > 200


def members(schema, where):
    for name, kind in schema.get("properties", {}).items():
        yield (*where, name), kind
        yield from members(kind, (*where, name))


def matches(kind, value):
    types = kind.get("type")
    types = types if isinstance(types, list) else [types]
    word = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return None in types or word[type(value)] in types


@pytest.mark.parametrize("segment", SEGMENTS)
def test_odd_segments_in_every_path(api, operations, things, segment):
    for method, path, op in operations:
        for word in things:
            if "{%s}" % word not in path or (method, word) == ("PUT", "fqdn"):
                continue
            if word == "owner":  # only told, never looked up
                continue
            body = b"{}" if takes_json(op) else None
            status, headers, text = send(api, method, fill(path, things, **{word: segment}), body)
            assert is_refusal(status, headers, text), (method, path, word, status, text)


DRY = {"X-Dry-Run": "true"}


def test_a_dry_run_changes_nothing(api):
    """It answers as the real thing would."""
    app = api.call("POST", "/v1/apps", {"app": {"name": "dry"}}, user="olga").json["app"]
    base = f"/v1/apps/{app['id']}"
    domain = api.call("POST", f"{base}/domains", {"domain": {"name": "dry.example"}},
                      user="olga").json["domain"]
    api.call("PUT", f"{base}/upstreams", {"upstreams": [{"address": "127.0.0.1:80"}]}, user="olga")
    api.call("PUT", f"{base}/variables", {"variables": [{"name": "A", "value": "b"}]}, user="olga")
    api.do("hooks")

    def everything():
        return [api.call("GET", path, user="olga").json for path in (
            base, f"{base}/domains", f"{base}/upstreams", f"{base}/variables", "/v1/users",
            "/v1/webhooks", f"{base}/events?limit=500")] + \
            [len(api.call("GET", "/v1/tokens", user="olga").json["tokens"])]

    before = everything()
    for status, method, path, body in (
            (200, "PUT", base, {"force_https": True}), (200, "PATCH", base, {"app": {
                "sticky_session": True}}),
            (200, "PUT", f"{base}/upstreams", {"upstreams": []}),
            (200, "PATCH", f"{base}/upstreams/127.0.0.1:80", {"upstream": {"drain": True}}),
            (200, "PUT", f"{base}/variables", {"variables": [{"name": "B", "value": "c"}]}),
            (200, "POST", f"{base}/rename", {"current_name": "dry", "new_name": "dryer"}),
            (201, "POST", "/v1/tokens", {"token": {"name": "x"}}),
            (201, "POST", "/v1/users", {"user": {"username": "dora", "email": "d@example.com"}}),
            (201, "POST", "/v1/webhooks", {"webhook": {"url": "https://hooks.example/x"}}),
            (200, "PUT", "/v2/self/applications/dry/env", {}),
            (204, "DELETE", f"{base}/domains/{domain['id']}", None),
            (204, "DELETE", f"{base}?current_name=dry", None),
            (422, "PUT", f"{base}/upstreams", {"upstreams": 7})):
        answer = api.call(method, path, body, user="olga", headers=DRY)
        assert answer.status == status, (method, path, answer)
    assert everything() == before
    # (The one for variables is called inside the transaction.)
    assert [h for h in api.do("hooks").split() if not h.startswith("variables:")] == []


def test_where_there_is_no_dry_run_it_is_said(api, operations, things):
    refused = 0
    for method, path, op in operations:
        if method == "GET":
            continue
        answer = api.call(method, fill(path, things, app="nobody", id="nobody", user="nobody"),
                          {} if takes_json(op) else None, user="olga", headers=DRY)
        assert answer.status >= 400 or path in ("/v1/tokens", "/v1/edges/enrol-tokens"), \
            (method, path, answer)
        refused += "X-Dry-Run" in answer.text
    assert refused >= 6
    answer = api.call("POST", f"/v1/apps/{things['app']}/domains",
                      {"domain": {"name": "never.example"}}, user="olga", headers=DRY)
    assert answer.status == 400 and "X-Dry-Run" in answer.json["error"]
    check = api.call("POST", "/v1/certificates/check", {"certificate": {"tlscert": "x"}},
                     user="olga", headers=DRY)
    assert check.status == 200


def test_a_token_is_revoked_while_its_connection_is_open(api):
    made = api.call("POST", "/v1/tokens", {"token": {"name": "short"}}, user="alice").json["token"]
    session = api.exchange(made["token"]).json["token"]
    for bearer in (session, made["token"]):
        assert api.call("GET", "/v1/apps", bearer=bearer).status == 200
    c = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)

    def ask(bearer):
        c.request("GET", "/v1/apps", headers={"Authorization": f"Bearer {bearer}"})
        r = c.getresponse()
        r.read()
        return r.status

    assert [ask(session), ask(made["token"])] == [200, 200]
    assert api.call("DELETE", f"/v1/tokens/{made['id']}", user="alice").status == 204
    assert [ask(session), ask(made["token"])] == [401, 401]
    c.close()


def test_login_failures_count_by_address(api):
    """Whichever way they come in; a good token on the same address waits, too."""
    other = Api()
    ways = [lambda: other.exchange("tk-us-x").status,
            lambda: other.call("GET", "/v1/apps", bearer="tk-us-x").status,
            lambda: other.call("GET", "/v2/self", headers={
                "Authorization": 'OAuth oauth_token="a", oauth_signature="x%26tk-us-y"'}).status]
    seen = [ways[i % 3]() for i in range(12)]
    assert seen[:10] == [401] * 10 and seen[10:] == [429] * 2
    late = other.exchange(other.tokens["alice"])
    assert late.status == 429 and int(late.headers["Retry-After"]) > 0
    # Another address is not held up by it.
    with_socket = other.raw("GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 200 " in with_socket
    other.close()
