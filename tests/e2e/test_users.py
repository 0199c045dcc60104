"""Accounts, API tokens with less than their user's rights, trying again, the ledger, readiness."""

import base64
import json

import pytest

from api_testd import Api


@pytest.fixture(scope="module")
def api():
    api = Api("names.any_tld=true")
    yield api
    api.close()


_serial = [0]


def new(kind):
    _serial[0] += 1
    return f"{kind}-{_serial[0]:04}"


def make_app(api, user="alice"):
    return api.call("POST", "/v1/apps", {"app": {"name": new("app")}}, user=user).json["app"]


def make_user(api, role="tenant"):
    name = new("user")
    answer = api.call("POST", "/v1/users", {"user": {
        "username": name, "email": f"{name}@example.com", "role": role}}, user="olga")
    assert answer.status == 201, answer
    return answer.json["user"], answer.json["token"]


def make_token(api, user="alice", **more):
    answer = api.call("POST", "/v1/tokens", {"token": {"name": new("token"), **more}}, user=user)
    assert answer.status == 201, answer
    return answer.json["token"]


# ---- accounts ----

def test_an_operator_makes_accounts(api):
    user, token = make_user(api)
    assert user["role"] == "tenant" and user["fullname"] == user["username"]
    session = api.exchange(token).json["token"]
    assert api.call("GET", "/v1/users/self", bearer=session).json["user"] == user
    assert user in api.call("GET", "/v1/users", user="olga").json["users"]
    for key in (user["id"], user["username"]):
        assert api.call("GET", f"/v1/users/{key}", user="olga").json["user"] == user
    again = api.call("POST", "/v1/users", {"user": {"username": user["username"],
                                                    "email": "x@example.com"}}, user="olga")
    assert again.status == 422 and again.json["errors"] == {"username": ["has already been taken"]}


@pytest.mark.parametrize("body, field", [
    ({}, "user"), ({"user": []}, "user"), ({"user": {"username": "A"}}, "username"),
    ({"user": {"username": "", "email": "a@b.c"}}, "username"),
    ({"user": {"username": "x" * 64, "email": "a@b.c"}}, "username"),
    ({"user": {"username": "ok", "email": "nobody"}}, "email"),
    ({"user": {"username": "ok", "email": "a@b.c", "role": "king"}}, "role"),
    ({"user": {"username": "ok", "email": "a@b.c", "fullname": "x" * 300}}, "fullname"),
    ({"user": {"username": 1, "email": "a@b.c"}}, "username"),
])
def test_accounts_that_are_refused(api, body, field):
    answer = api.call("POST", "/v1/users", body, user="olga")
    assert answer.status == 422 and list(answer.json["errors"]) == [field], answer


@pytest.mark.parametrize("user", ["alice", "rita"])
def test_accounts_are_for_operators(api, user):
    olga = api.call("GET", "/v1/users/self", user="olga").json["user"]["id"]
    for method, path, body in (("GET", "/v1/users", None), ("POST", "/v1/users", {}),
                               ("GET", f"/v1/users/{olga}", None),
                               ("PATCH", f"/v1/users/{olga}", {}),
                               ("DELETE", f"/v1/users/{olga}", None),
                               ("GET", f"/v1/users/{olga}/tokens", None),
                               ("POST", f"/v1/users/{olga}/tokens", {}),
                               ("DELETE", f"/v1/users/{olga}/tokens/{olga}", None),
                               ("GET", "/v1/ledger", None)):
        assert api.call(method, path, body, user=user).status == 403, (method, path)


def test_a_role_counts_at_once(api):
    user, token = make_user(api)
    session = api.exchange(token).json["token"]
    create = lambda: api.call("POST", "/v1/apps", {"app": {"name": new("app")}},  # noqa: E731
                              bearer=session).status
    assert create() == 201
    answer = api.call("PATCH", f"/v1/users/{user['id']}", {"user": {"role": "reader"}}, user="olga")
    assert answer.status == 200 and answer.json["user"]["role"] == "reader"
    assert create() == 403
    assert api.call("PATCH", f"/v1/users/{user['id']}", {"user": {"username": "other"}},
                    user="olga").status == 422


def test_an_account_goes_after_its_apps(api):
    user, token = make_user(api)
    session = api.exchange(token).json["token"]
    app = api.call("POST", "/v1/apps", {"app": {"name": new("app")}}, bearer=session).json["app"]
    url = f"/v1/users/{user['id']}"
    assert api.call("DELETE", url, user="olga").status == 422
    api.call("DELETE", f"/v1/apps/{app['id']}?current_name={app['name']}", bearer=session)
    assert api.call("DELETE", url, user="olga").status == 204
    assert api.call("GET", "/v1/users/self", bearer=session).status == 401
    assert api.exchange(token).status == 401
    assert api.call("DELETE", url, user="olga").status == 404


def test_nobody_locks_the_own_door(api):
    olga = api.call("GET", "/v1/users/self", user="olga").json["user"]["id"]
    assert api.call("DELETE", f"/v1/users/{olga}", user="olga").status == 422
    answer = api.call("PATCH", f"/v1/users/{olga}", {"user": {"role": "tenant"}}, user="olga")
    assert answer.status == 422 and list(answer.json["errors"]) == ["role"]


# ---- tokens ----

def test_a_renewed_token_ends_its_sessions(api):
    t = make_token(api)
    session = api.exchange(t["token"]).json["token"]
    assert api.call("GET", "/v1/users/self", bearer=session).status == 200
    answer = api.call("PATCH", f"/v1/tokens/{t['id']}/renew", user="alice")
    assert answer.status == 200 and answer.json["token"]["token"] != t["token"]
    assert answer.json["token"]["id"] == t["id"]
    assert api.call("GET", "/v1/users/self", bearer=session).status == 401
    assert api.exchange(t["token"]).status == 401
    assert api.exchange(answer.json["token"]["token"]).status == 200
    assert api.call("PATCH", f"/v1/tokens/{t['id']}/renew", user="bob").status == 404


def test_a_token_is_renamed(api):
    t = make_token(api)
    answer = api.call("PATCH", f"/v1/tokens/{t['id']}", {"token": {"name": "other"}}, user="alice")
    assert answer.status == 200 and answer.json["token"]["name"] == "other"
    assert "token" not in answer.json["token"]
    for body in ({"token": {"name": ""}}, {"token": {"app": "x", "name": "y"}}, {"token": []}):
        assert api.call("PATCH", f"/v1/tokens/{t['id']}", body, user="alice").status == 422
    assert api.call("PATCH", f"/v1/tokens/{t['id']}", {"token": {"name": "x"}},
                    user="bob").status == 404


def test_a_read_only_token(api):
    app = make_app(api)
    t = make_token(api, read_only=True)
    assert t["read_only"] is True and t["app_id"] is None
    session = api.exchange(t["token"]).json["token"]
    assert api.call("GET", f"/v1/apps/{app['id']}", bearer=session).status == 200
    for method, path, body in (("POST", "/v1/apps", {"app": {"name": new("app")}}),
                               ("PUT", f"/v1/apps/{app['id']}", {"force_https": True}),
                               ("POST", "/v1/tokens", {"name": "more"}),
                               ("DELETE", f"/v1/tokens/{t['id']}", None)):
        assert api.call(method, path, body, bearer=session).status == 403, (method, path)


def test_a_read_only_token_of_an_operator(api):
    t = make_token(api, user="olga", read_only=True)
    session = api.exchange(t["token"]).json["token"]
    assert api.call("GET", "/v1/edges", bearer=session).status == 200
    assert api.call("POST", "/v1/edges/enrol-tokens", {}, bearer=session).status == 403


@pytest.mark.parametrize("user", ["alice", "olga"])
def test_a_deploy_token_knows_one_app(api, user):
    app, other = make_app(api, user), make_app(api, user)
    t = make_token(api, user=user, app=app["name"])
    assert t["app_id"] == app["id"]
    session = api.exchange(t["token"]).json["token"]
    ask = lambda method, path, body=None: api.call(method, path, body, bearer=session)  # noqa: E731
    assert ask("GET", f"/v1/apps/{app['id']}").status == 200
    assert ask("PUT", f"/v1/apps/{app['id']}/variables", {"variables": None}).status == 200
    assert ask("POST", f"/v1/apps/{app['id']}/domains",
               {"domain": {"name": f"{new('www')}.example.com"}}).status == 201
    assert [a["id"] for a in ask("GET", "/v1/apps").json["apps"]] == [app["id"]]
    for method, path in (("GET", f"/v1/apps/{other['id']}"), ("GET", f"/v1/apps/{other['name']}"),
                         ("GET", f"/v1/apps/{other['id']}/variables"),
                         ("GET", f"/v1/apps/{other['id']}/domains"),
                         ("GET", f"/v1/apps/{other['id']}/events")):
        assert ask(method, path).status == 404, path
    for method, path, body in (("POST", "/v1/apps", {"app": {"name": new("app")}}),
                               ("DELETE", f"/v1/apps/{app['id']}?current_name={app['name']}", None),
                               ("GET", "/v1/tokens", None), ("POST", "/v1/tokens", {"name": "x"}),
                               ("GET", "/v1/events", None), ("GET", "/v1/users", None)):
        assert ask(method, path, body).status == 403, (method, path)


def test_a_deploy_token_goes_with_its_app(api):
    app = make_app(api)
    t = make_token(api, app=app["id"])
    api.call("DELETE", f"/v1/apps/{app['id']}?current_name={app['name']}", user="alice")
    assert api.exchange(t["token"]).status == 401


def test_a_token_for_another_tenants_app(api):
    app = make_app(api, "bob")
    answer = api.call("POST", "/v1/tokens", {"token": {"name": "x", "app": app["id"]}},
                      user="alice")
    assert answer.status == 422 and list(answer.json["errors"]) == ["app"]


def test_an_operator_makes_and_revokes_tokens_of_others(api):
    url = "/v1/users/alice/tokens"
    made = api.call("POST", url, {"token": {"name": "by olga", "read_only": True}}, user="olga")
    assert made.status == 201
    session = api.exchange(made.json["token"]["token"]).json["token"]
    assert api.call("GET", "/v1/users/self", bearer=session).json["user"]["username"] == "alice"
    listed = api.call("GET", url, user="olga").json["tokens"]
    assert made.json["token"]["id"] in [t["id"] for t in listed]
    assert all("token" not in t for t in listed)
    assert api.call("DELETE", f"{url}/{made.json['token']['id']}", user="olga").status == 204
    assert api.call("GET", "/v1/users/self", bearer=session).status == 401


def test_an_api_token_is_a_bearer_too(api):
    t = make_token(api)
    assert t["last_used_at"] is None
    assert api.call("GET", "/v1/users/self", bearer=t["token"]).status == 200
    listed = api.call("GET", "/v1/tokens", user="alice").json["tokens"]
    assert next(x for x in listed if x["id"] == t["id"])["last_used_at"]
    api.call("DELETE", f"/v1/tokens/{t['id']}", user="alice")
    assert api.call("GET", "/v1/users/self", bearer=t["token"]).status == 401


def test_guessing_tokens_is_slowed_down():
    api = Api()
    statuses = [api.call("GET", "/v1/users/self", bearer=f"tk-us-{i}").status for i in range(12)]
    assert statuses[0] == 401 and statuses[-1] == 429
    api.close()


def test_there_are_no_passwords(api):
    basic = base64.b64encode(b"alice:secret").decode()
    answer = api.call("POST", "/v1/tokens", {"token": {"name": "Scalingo CLI"}},
                      headers={"Authorization": f"Basic {basic}"})
    assert answer.status == 401 and "password" in answer.json["error"]


# ---- trying again, the ledger, readiness ----

def test_retry_is_given_once(api):
    app = make_app(api)
    name = f"{new('www')}.example.com"
    domain = api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": name}},
                      user="alice").json["domain"]
    api.do("domain", id=domain["id"], phase="work", problem="connection", reason="x", failures=3,
           next_try_in_s=3000)
    url = f"/v1/apps/{app['id']}/domains/{name}/retry"
    assert api.call("POST", url, user="bob").status == 404
    api.do("hooks")
    answer = api.call("POST", url, user="alice")
    assert answer.status == 202 and answer.json["next_try_at"], answer
    assert "changed" in api.do("hooks")
    again = api.call("POST", url, user="alice")
    assert again.status == 429 and 0 < int(again.headers["Retry-After"]) <= 720
    rows = api.call("GET", "/v1/ledger", user="olga").json["ledger"]
    row = next(r for r in rows if r["limit"] == "retry-now" and r["key"] == name)
    assert row["left"] == 0 and row["of"] == 1 and row["next_at"]


def test_retry_has_nothing_to_do(api):
    app = make_app(api)
    url = f"/v1/apps/{app['id']}/domains"
    body = {"domain": {"name": f"{new('www')}.example.com", "letsencrypt_enabled": False}}
    off = api.call("POST", url, body, user="alice").json["domain"]
    assert api.call("POST", f"{url}/{off['id']}/retry", user="alice").status == 409
    body = {"domain": {"name": f"{new('www')}.example.com"}}
    on = api.call("POST", url, body, user="alice").json["domain"]
    api.do("cert", id=on["id"], origin="acme", seen=True)
    api.do("domain", id=on["id"], phase="work")
    assert api.call("POST", f"{url}/{on['id']}/retry", user="alice").status == 409
    third = api.call("POST", url, {"domain": {"name": f"{new('www')}.example.com"}},
                     user="alice").json["domain"]
    api.do("order", id=third["id"], state="validating")
    assert api.call("POST", f"{url}/{third['id']}/retry", user="alice").status == 409


def test_without_an_edge_it_is_not_ready(api):
    answer = api.call("GET", "/v1/ready")
    assert answer.status == 503 and answer.json["live_edges"] == 0


# ---- the CLI ----

def test_token_verbs(api):
    app = make_app(api)
    made = api.cli("tokens-create", "deploy", "--app", app["name"], "--json")
    assert made.returncode == 0, made.stderr
    token = json.loads(made.stdout)["token"]
    assert token["app_id"] == app["id"]
    assert token["id"] in api.cli("tokens").stdout
    renewed = api.cli("tokens-renew", token["id"])
    assert renewed.stdout.startswith("tk-us-") and api.exchange(token["token"]).status == 401
    assert api.cli("tokens-revoke", token["id"]).returncode == 0
    assert api.exchange(renewed.stdout.strip()).status == 401


def test_user_verbs(api):
    name = new("user")
    added = api.cli("users-add", name, f"{name}@example.com", "--role", "reader", user="olga")
    assert added.returncode == 0 and api.exchange(added.stdout.strip()).status == 200
    assert name in api.cli("users", user="olga").stdout
    token = api.cli("tokens-create", "more", "--user", name, "--json", user="olga")
    token = json.loads(token.stdout)["token"]
    assert token["id"] in api.cli("tokens", "--user", name, user="olga").stdout
    assert api.cli("tokens-revoke", token["id"], "--user", name, user="olga").returncode == 0
    assert api.cli("ledger", user="olga").returncode == 0
    assert api.cli("users-remove", name, user="olga").returncode == 0
    assert api.exchange(added.stdout.strip()).status == 401
    assert api.cli("users").returncode == 1


def test_domains_retry_verb(api):
    app = make_app(api)
    name = f"{new('www')}.example.com"
    api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": name}}, user="alice")
    assert api.cli("domains-retry", name, "--app", app["name"]).returncode == 0
    again = api.cli("domains-retry", name, "--app", app["name"])
    assert again.returncode == 1 and "wait" in again.stderr
