"""Variables, renaming, restarting, operations: what the environment of an app must do."""

import json
import re

import pytest

from api_testd import Api

ID = re.compile(r"^[0-9a-f]{24}$")


@pytest.fixture(scope="module")
def api():
    api = Api("platform.domain=platform.example", "names.any_tld=true")
    yield api
    api.close()


@pytest.fixture
def app(api, request):
    _serial[0] += 1
    answer = api.call("POST", "/v1/apps", {"app": {"name": f"env-{_serial[0]:04}"}}, user="alice")
    assert answer.status == 201, answer
    return answer.json["app"]


_serial = [0]


def put(api, app, variables, user="alice", **more):
    return api.call("PUT", f"/v1/apps/{app['id']}/variables", {"variables": variables}, user=user)


def listed(api, app, query="", user="alice"):
    answer = api.call("GET", f"/v1/apps/{app['id']}/variables{query}", user=user)
    assert answer.status == 200, answer
    return {v["name"]: v["value"] for v in answer.json["variables"]}


# ---- setting ----

def test_put_takes_null_and_nothing(api, app):
    for nothing in (None, []):
        answer = put(api, app, nothing)
        assert answer.status == 200 and answer.json == {"variables": []}
    assert listed(api, app, "?") == {}


def test_put_makes_and_overwrites_by_name(api, app):
    first = put(api, app, [{"id": "", "name": "A", "value": "1"}, {"name": "B-b", "value": "x\ny"}])
    assert first.status == 200
    assert [v["name"] for v in first.json["variables"]] == ["A", "B-b"]
    assert all(ID.match(v["id"]) and set(v) == {"id", "name", "value"}
               for v in first.json["variables"])
    again = put(api, app, [{"id": "ignored", "name": "A", "value": "2"}])
    assert again.json["variables"][0]["id"] == first.json["variables"][0]["id"]
    assert listed(api, app) == {"A": "2", "B-b": "x\ny"}


@pytest.mark.parametrize("entry, field", [
    ({"name": "", "value": "x"}, "name"), ({"name": "A B", "value": "x"}, "name"),
    ({"name": "é", "value": "x"}, "name"), ({"name": "A" * 65, "value": "x"}, "name"),
    ({"name": "A" * 5000, "value": "x"}, "name"), ({"name": 1, "value": "x"}, "name"),
    ({"value": "x"}, "name"), ({"name": "A"}, "value"), ({"name": "A", "value": 1}, "value"),
    ({"name": "A", "value": "x" * 8193}, "value"), ({"name": "A", "value": "\u0007"}, "value"),
])
def test_what_is_refused_changes_nothing(api, app, entry, field):
    answer = put(api, app, [{"name": "GOOD", "value": "x"}, entry])
    assert answer.status == 422 and list(answer.json["errors"]) == [field], answer
    assert listed(api, app) == {}


@pytest.mark.parametrize("body", [{}, {"variables": {}}, {"variables": "x"}, [], None, 7])
def test_put_wants_a_list(api, app, body):
    answer = api.call("PUT", f"/v1/apps/{app['id']}/variables", raw_body=json.dumps(body),
                      user="alice")
    assert answer.status == 422 and list(answer.json["errors"]) == ["variables"], answer


def test_limits_are_as_documented(api, app):
    assert put(api, app, [{"name": "N" * 64, "value": "v" * 8192}]).status == 200
    many = [{"name": f"V{i}", "value": ""} for i in range(200)]
    answer = put(api, app, many)
    assert answer.status == 422 and list(answer.json["errors"]) == ["variables"]
    assert put(api, app, many[:199]).status == 200
    assert len(listed(api, app)) == 200


def test_post_patch_and_delete(api, app):
    url = f"/v1/apps/{app['name']}/variables"
    made = api.call("POST", url, {"variable": {"name": "A", "value": "b"}}, user="alice")
    assert made.status == 201 and made.json["variable"]["value"] == "b"
    again = api.call("POST", url, {"variable": {"name": "A", "value": "c"}}, user="alice")
    assert again.status == 200 and again.json["variable"]["id"] == made.json["variable"]["id"]
    one = f"{url}/{made.json['variable']['id']}"
    for body, value in (({"value": "d"}, "d"), ({"value": {"value": "e"}}, "e")):
        answer = api.call("PATCH", one, {"variable": body}, user="alice")
        assert answer.status == 200 and answer.json["variable"]["value"] == value
    assert api.call("PATCH", one, {"variable": {"value": 1}}, user="alice").status == 422
    assert api.call("PATCH", one, {}, user="alice").status == 422
    assert api.call("DELETE", one, user="alice").status == 204
    gone = api.call("DELETE", one, user="alice")
    assert gone.status == 404 and gone.json == {"resource": "variable", "error": "not found"}
    assert api.call("PATCH", one, {"variable": {"value": "x"}}, user="alice").status == 404


def test_several_are_removed_at_once(api, app):
    url = f"/v1/apps/{app['id']}/variables"
    made = put(api, app, [{"name": n, "value": n} for n in "ABC"]).json["variables"]
    ids = [v["id"] for v in made]
    bad = api.call("DELETE", url, {"variable_ids": [ids[0], "0" * 24]}, user="alice")
    assert bad.status == 404 and len(listed(api, app)) == 3
    for body in ({}, {"variable_ids": "x"}, {"variable_ids": [1]}):
        assert api.call("DELETE", url, body, user="alice").status == 422
    assert api.call("DELETE", url, {"variable_ids": ids[:2]}, user="alice").status == 204
    assert listed(api, app) == {"C": "C"}


def test_aliases(api, app):
    put(api, app, [{"name": "A", "value": "$B"}, {"name": "B", "value": "$C"},
                   {"name": "C", "value": "end"}, {"name": "LOST", "value": "$NOBODY"},
                   {"name": "X", "value": "$Y"}, {"name": "Y", "value": "$X"}])
    assert listed(api, app)["A"] == listed(api, app, "?aliases=true")["A"] == "$B"
    resolved = listed(api, app, "?aliases=false")
    assert resolved["A"] == resolved["B"] == "end"
    assert resolved["LOST"] == "$NOBODY" and resolved["X"][0] == "$"


# ---- rights ----

def test_others_see_nothing_of_it(api, app):
    made = put(api, app, [{"name": "SECRET", "value": "hunter2-hunter2"}]).json["variables"][0]
    url = f"/v1/apps/{app['id']}/variables"
    absent = {"resource": "app", "error": "not found"}
    for method, path, body in (("GET", url, None), ("PUT", url, {"variables": None}),
                               ("POST", url, {"variable": {"name": "A", "value": "b"}}),
                               ("DELETE", url, {"variable_ids": []}),
                               ("PATCH", f"{url}/{made['id']}", {"variable": {"value": "x"}}),
                               ("DELETE", f"{url}/{made['id']}", None)):
        answer = api.call(method, path, body, user="bob")
        assert answer.status == 404 and answer.json == absent, (method, answer)
    other = api.call("POST", "/v1/apps", {"app": {"name": f"of-bob-{_serial[0]}"}}, user="bob")
    own = f"/v1/apps/{other.json['app']['id']}/variables/{made['id']}"
    assert api.call("DELETE", own, user="bob").status == 404
    assert api.call("PUT", url, {"variables": None}, user="rita").status == 403


def test_values_appear_in_no_log_and_no_event(api, app):
    put(api, app, [{"name": "SECRET", "value": "correct-horse-battery"}])
    api.call("PATCH", f"/v1/apps/{app['id']}/variables/SECRET",
             {"variable": {"value": "correct-horse-staple"}}, user="alice")
    events = api.call("GET", f"/v1/apps/{app['id']}/events", user="alice")
    assert "variables.set" in events.text and "correct-horse" not in events.text
    assert "correct-horse" not in api.logged()


# ---- renaming, restarting ----

def test_rename(api, app):
    new = app["name"] + "-new"
    url = f"/v1/apps/{app['name']}/rename"
    for body, field in (({"new_name": new}, "current_name"),
                        ({"current_name": "other", "new_name": new}, "current_name"),
                        ({"current_name": app["name"]}, "new_name"),
                        ({"current_name": app["name"], "new_name": "A_"}, "new_name")):
        answer = api.call("POST", url, body, user="alice")
        assert answer.status == 422 and list(answer.json["errors"]) == [field], answer
    answer = api.call("POST", url, {"current_name": app["name"], "new_name": new}, user="alice")
    assert answer.status == 200
    assert answer.json["app"]["name"] == new and new in answer.json["app"]["url"]
    assert api.call("GET", f"/v1/apps/{app['name']}", user="alice").status == 404
    second = api.call("POST", "/v1/apps", {"app": {"name": app["name"]}}, user="alice")
    assert second.status == 201
    taken = api.call("POST", f"/v1/apps/{app['name']}/rename",
                     {"current_name": app["name"], "new_name": new}, user="alice")
    assert taken.status == 422 and taken.json["errors"] == {"new_name": ["has already been taken"]}


@pytest.mark.parametrize("body", ["null", '{"scope":null}', '{"scope":[]}', '{"scope":["web"]}',
                                  "{}", ""])
def test_restart_takes_every_body(api, app, body):
    answer = api.call("POST", f"/v1/apps/{app['name']}/restart", raw_body=body, user="alice")
    assert answer.status == 202 and answer.text == ""
    location = answer.headers["Location"]
    assert location.startswith(api.url + f"/v1/apps/{app['id']}/operations/")
    op = api.call("GET", location[len(api.url):] + "?", user="alice")
    assert op.status == 200 and op.json["operation"]["status"] == "done"
    assert op.json["operation"]["type"] == "restart"
    assert api.call("GET", location[len(api.url):], user="bob").status == 404


@pytest.mark.parametrize("body, status", [('{"scope":"web"}', 422), ('{"scope":[1]}', 422),
                                          ('"x"', 422), ("[]", 422), ("{", 400)])
def test_restart_refuses_the_rest(api, app, body, status):
    answer = api.call("POST", f"/v1/apps/{app['name']}/restart", raw_body=body, user="alice")
    assert answer.status == status, answer


def test_an_unknown_operation(api, app):
    answer = api.call("GET", f"/v1/apps/{app['id']}/operations/{'0' * 24}", user="alice")
    assert answer.status == 404 and answer.json == {"resource": "operation", "error": "not found"}


# ---- settings ----

def test_the_operator_raises_the_limit_of_an_app(api, app):
    assert app["limits"] == {"domains": 20}
    url = f"/v1/apps/{app['id']}"
    refused = api.call("PATCH", url, {"app": {"domains_max": 30}}, user="alice")
    assert refused.status == 422 and list(refused.json["errors"]) == ["domains_max"]
    answer = api.call("PATCH", url, {"app": {"domains_max": 30}}, user="olga")
    assert answer.status == 200 and answer.json["app"]["limits"] == {"domains": 30}


def test_an_app_is_not_given_away(api, app):
    answer = api.call("PATCH", f"/v1/apps/{app['id']}", {"app": {"owner": {"email": "b@x.org"}}},
                      user="alice")
    assert answer.status == 422 and list(answer.json["errors"]) == ["owner"]


# ---- the CLI ----

def test_env_verbs(api, app):
    name = ("--app", app["name"])
    done = api.cli("env-set", *name, "DNS_PROVIDER=ovh", "B=x=y")
    assert done.returncode == 0, done.stderr
    assert api.cli("env", *name).stdout == "B=x=y\nDNS_PROVIDER=ovh\n"
    assert api.cli("env-get", *name, "B").stdout == "x=y\n"
    assert json.loads(api.cli("env", *name, "--json").stdout)["variables"][0]["name"] == "B"
    assert api.cli("env-get", *name, "NO").returncode == 1
    assert api.cli("env-set", *name, "no value").returncode == 2
    assert api.cli("env-unset", *name, "B").returncode == 0
    assert listed(api, app) == {"DNS_PROVIDER": "ovh"}
    assert api.cli("env-unset", *name, "B").returncode == 1


def test_app_verbs(api, app):
    assert api.cli("restart", "--app", app["name"]).returncode == 0
    assert api.cli("sticky-session", "--app", app["name"]).returncode == 0
    assert api.cli("router-logs", "--app", app["name"], "--enable").returncode == 0
    done = api.cli("rename", "--app", app["name"], app["name"] + "-x")
    assert done.returncode == 0, done.stderr
    seen = api.call("GET", f"/v1/apps/{app['id']}", user="alice").json["app"]
    assert seen["name"] == app["name"] + "-x" and seen["sticky_session"] and seen["router_logs"]
