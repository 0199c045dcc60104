"""Webhooks by the API alone: whose they are, what is refused, what is shown."""

import pytest

from api_testd import Api

HOOK = {"webhook": {"url": "https://example.com/hook"}}


@pytest.fixture
def api():
    api = Api("names.any_tld=true")
    yield api
    api.close()


def make(api, user, body=None):
    answer = api.call("POST", "/v1/webhooks", body or HOOK, user=user)
    assert answer.status == 201, answer
    return answer.json["webhook"]


def test_life_of_a_webhook(api):
    hook = make(api, "alice", {"webhook": {"url": "http://example.com:81/a?b", "events":
                                           ["domain.*", "app.removed"]}})
    assert hook["secret"].startswith("whsec_") and len(hook["secret"]) == 49
    assert hook["app_id"] is None and hook["active"] is True and hook["failures"] == 0
    path = f"/v1/webhooks/{hook['id']}"
    shown = api.call("GET", path, user="alice").json["webhook"]
    assert "secret" not in shown and shown["events"] == ["domain.*", "app.removed"]
    assert {k: v for k, v in hook.items() if k != "secret"} == shown
    assert hook["secret"] not in api.call("GET", "/v1/webhooks", user="alice").text
    changed = api.call("PATCH", path, {"webhook": {"events": [], "active": False}}, user="alice")
    assert changed.status == 200
    assert changed.json["webhook"]["events"] == [] and not changed.json["webhook"]["active"]
    assert changed.json["webhook"]["url"] == "http://example.com:81/a?b"
    assert api.call("POST", path + "/ping", user="alice").status == 422
    assert api.call("PATCH", path, {"webhook": {"active": True}}, user="alice").status == 200
    assert api.call("POST", path + "/ping", user="alice").status == 202
    assert api.call("DELETE", path, user="alice").status == 204
    assert api.call("DELETE", path, user="alice").status == 404
    assert hook["secret"] not in api.logged()


def test_foreign_ones_are_as_absent(api):
    hook = make(api, "alice")
    path = f"/v1/webhooks/{hook['id']}"
    absent = "/v1/webhooks/" + "0" * 24
    for user in ("bob", "rita"):
        assert api.call("GET", "/v1/webhooks", user=user).json == {"webhooks": []}
        assert api.call("GET", path, user=user).text == api.call("GET", absent, user=user).text
    for method, tail, body in (("PATCH", "", HOOK), ("DELETE", "", None), ("POST", "/ping", None)):
        foreign = api.call(method, path + tail, body, user="bob")
        assert (foreign.status, foreign.text) == (404, api.call(method, absent + tail, body,
                                                                user="bob").text)
    assert api.call("POST", "/v1/webhooks", HOOK, user="rita").status == 403
    app = api.call("POST", "/v1/apps", {"app": {"name": "alices-app"}}, user="alice").json["app"]
    for name in (app["id"], app["name"], "no-such-app"):
        refused = api.call("POST", "/v1/webhooks", {"webhook": {**HOOK["webhook"], "app": name}},
                           user="bob")
        assert refused.json == {"errors": {"app": ["there is no such app"]}}
    assert api.call("GET", "/v1/webhooks").status == 401


def test_an_account_has_at_most_twenty(api):
    for _ in range(20):
        make(api, "alice")
    assert api.call("POST", "/v1/webhooks", HOOK, user="alice").status == 422
    make(api, "bob")


def test_they_go_with_their_account(api):
    hook = make(api, "bob")
    assert hook["id"] in api.call("GET", "/v1/webhooks", user="olga").text
    assert api.call("DELETE", "/v1/users/bob", user="olga").status == 204
    assert api.call("GET", "/v1/webhooks", user="olga").json == {"webhooks": []}


@pytest.mark.parametrize("webhook, field", [
    ({}, "url"), ({"url": 5}, "url"), ({"url": "gopher://x/"}, "url"),
    ({"url": "http://x/" + "y" * 1024}, "url"), ({"url": "http://x\n/"}, "url"),
    ({"url": "http://x/", "events": "domain.*"}, "events"),
    ({"url": "http://x/", "events": ["Domain"]}, "events"),
    ({"url": "http://x/", "events": [None]}, "events"),
    ({"url": "http://x/", "events": ["a b"]}, "events"),
    ({"url": "http://x/", "events": ["a" * 60]}, "events"),
    ({"url": "http://x/", "events": ["a"] * 21}, "events"),
    ({"url": "http://x/", "active": "yes"}, "active"),
    ({"url": "http://x/", "app": 7}, "app"),
])
def test_what_is_refused(api, webhook, field):
    answer = api.call("POST", "/v1/webhooks", {"webhook": webhook}, user="alice")
    assert answer.status == 422 and list(answer.json["errors"]) == [field]
