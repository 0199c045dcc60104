"""What Scalingo's CLI, go-scalingo and its Terraform provider send, sent again byte by byte.

Those clients are Go programs that cannot be had everywhere; scripts/test-clients runs them where
they are.  Here their requests are replayed, and the answers decoded as strictly as Go does
(tests/support/go_client.py).  One test for each rule that breaks them, then one for each command.
"""

import json
import threading

import pytest

from api_testd import Api
from certs import Authority
from go_client import GoClient, GoError, check_jwt, decode, list_of, one_of, STRUCT


@pytest.fixture(scope="module")
def api():
    api = Api("platform.domain=platform.example", "names.any_tld=true")
    yield api
    api.close()


@pytest.fixture
def go(api):
    return GoClient(api.url, api.tokens["alice"])


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    cert, key = Authority(tmp_path_factory.mktemp("ca")).leaf("www.example.com")
    return {"tlscert": cert.read_text(), "tlskey": key.read_text()}


_serial = [0]


@pytest.fixture
def app(go):
    _serial[0] += 1
    return go("POST", "/v1/apps", one_of("app"), {"app": {"name": f"replay-{_serial[0]:03}"}})["app"]


@pytest.fixture
def apps(app):
    return f"/v1/apps/{app['name']}"


def add(go, apps, name, **more):
    return go("POST", apps + "/domains", one_of("domain"),
              {"domain": {"name": name, "letsencrypt_enabled": False, **more}})["domain"]


def drop(go, apps, domain):
    go("DELETE", f"{apps}/domains/{domain['id']}")


# ---- the decoder itself ----

@pytest.mark.parametrize("body, why", [
    ({"domains": [{"validity": ""}]}, "validity"), ({"domains": [{"acme_dns_error": "x"}]}, "acme"),
    ({"domains": [{"acme_dns_error": []}]}, "acme"), ({"domains": {}}, "slice"),
    ({"domains": [{"ssl": 1}]}, "bool"), ({"domains": [{"validity": "2026-01-01"}]}, "validity")])
def test_the_decoder_is_strict(body, why):
    with pytest.raises(GoError, match=why):
        decode(body, list_of("domain"))
    assert decode({"domains": [{"id": None, "more": 1}]}, list_of("domain"))["domains"][0]["id"] == ""


# ---- the rules that break clients when missed, by their number ----

def test_rule_1_and_2_the_token_is_a_jwt_of_an_hour(go):
    go.exchange()
    header, claims = check_jwt(go.bearer)
    assert header["alg"] == "HS256" and claims["exp"] - claims["iat"] == 3600
    go("GET", "/v1/apps", list_of("app"))
    go("GET", "/v1/apps", list_of("app"))
    assert [s[1] for s in go.sent] == ["/v1/tokens/exchange", "/v1/apps?", "/v1/apps?"]


def test_rule_3_and_4_regions(api, go):
    for authorization in (None, "Bearer x.y.z"):
        status, _, text = go.raw("GET", "/v1/regions?", authorization=authorization)
        regions = decode(json.loads(text), list_of("region"))["regions"]
        assert status == 200
        one = next(r for r in regions if r["name"] == "osc-fr1")
        assert one["default"] and one["api"] == api.url
        assert not one["api"].endswith("/") and "." in one["api"].split("//")[1].split(":")[0]


@pytest.mark.parametrize("status, method, path, send", [
    (400, "POST", "/v1/apps", b"{"), (401, "GET", "/v1/apps?", b""),
    (403, "GET", "/v1/events?", b""), (404, "GET", "/v1/nothing?", b""),
    (404, "GET", "/v1/apps/nobody?", b""), (409, "POST", "retry", b""),
    (422, "POST", "/v1/apps", b"{}")])
def test_rule_5_and_6_errors_are_json_objects(go, app, apps, status, method, path, send):
    if path == "retry":
        path = f"{apps}/domains/{add(go, apps, 'no-retry.example.com')['id']}/retry"
    if status == 401:
        go.bearer, go.until = "a.b.c", 2 ** 40
    answer = go(method, path, status=status, send=send)
    assert answer.get("error") or answer["errors"]


def test_rule_5_429():
    api = Api()
    go = GoClient(api.url, "tk-us-wrong")
    seen = []
    for _ in range(12):
        status, _, text = go.raw("POST", "/v1/tokens/exchange", b"{}", "Basic OnRrLXVzLXdyb25n")
        decode(json.loads(text), {"error": "string", "code": "string"})
        seen.append(status)
    assert seen[-1] == 429 and seen[0] == 401
    api.close()


def test_rule_8_and_9_a_list_of_every_state_is_decoded(api, go, app, apps, pem):
    names = ("a.states.example.com", "b.states.example.com", "c.states.example.com")
    made = [go("POST", apps + "/domains", one_of("domain"), {"domain": {"name": n}})["domain"]
            for n in names]
    api.do("cert", id=made[0]["id"], to_s=90 * 86400, seen=True)
    api.do("domain", id=made[1]["id"], phase="blocked", problem="caa")
    wild = go("POST", apps + "/domains", one_of("domain"),
              {"domain": {"name": "*.states.example.com"}})["domain"]
    api.do("domain", id=wild["id"], phase="manual")
    custom = add(go, apps, "www.example.com", **pem)
    seen = {d["name"]: d for d in go("GET", apps + "/domains", list_of("domain"))["domains"]}
    assert [seen[n]["validity"] is None for n in names] == [False, True, True]
    assert seen[wild["name"]]["letsencrypt_status"] == "dns_required"
    assert seen[custom["name"]]["validity"] and seen[custom["name"]]["tlscert"][0] == "/"
    raw = json.loads(go("GET", apps + "/domains"))["domains"]
    assert all(isinstance(d["acme_dns_error"], dict) and isinstance(d["letsencrypt_enabled"], bool)
               for d in raw)
    drop(go, apps, custom)


@pytest.mark.parametrize("send", [b'{"variables":null}', b'{"variables":[]}'])
def test_rule_10_no_variables(go, apps, send):
    assert go("PUT", apps + "/variables", list_of("variable"), send=send) == {"variables": []}
    assert json.loads(go.raw("PUT", apps + "/variables", send, f"Bearer {go.bearer}")[2]) == \
        {"variables": []}


def test_rule_10_the_empty_id_is_ignored(go, apps):
    send = b'{"variables":[{"id":"","name":"A","value":"\\u003cb\\u003e \\u0026 c"}]}'
    seen = go("PUT", apps + "/variables", list_of("variable"), send=send)["variables"]
    assert seen[0]["id"] and seen[0]["value"] == "<b> & c"


@pytest.mark.parametrize("send", [b"null", b'{"scope":null}', b'{"scope":[]}', b'{"scope":["web"]}'])
def test_rule_11_restart(go, app, apps, send):
    assert go("POST", apps + "/restart", send=send, status=202) == b""
    path = go.headers["Location"].split(go.host)[1]
    op = go("GET", path, one_of("operation"))["operation"]
    assert op["status"] == "done" and op["finished_at"] and op["id"]


@pytest.mark.parametrize("setting", ["force_https", "sticky_session", "router_logs"])
def test_rule_12_settings_in_two_shapes(go, apps, setting):
    assert go("PUT", apps, one_of("app"), {setting: True})["app"][setting] is True
    assert go("PATCH", apps, one_of("app"), {"app": {setting: False}})["app"][setting] is False


def test_rule_13_nobody_is_admin(api):
    for user in ("alice", "olga", "rita"):
        me = GoClient(api.url, api.tokens[user])("GET", "/v1/users/self", one_of("user"))["user"]
        assert not me["flags"].get("admin") and me["username"] and me["email"]


def test_rule_14_no_project(go, app, apps):
    assert app["project"] == {"id": "", "name": ""}
    assert go("GET", apps, one_of("app"))["app"]["project"]["id"] == ""


def test_rule_15_by_id_and_by_name(go, app):
    assert not set(":/") & set(app["id"])
    for key in (app["id"], app["name"]):
        assert go("GET", f"/v1/apps/{key}", one_of("app"))["app"]["id"] == app["id"]


@pytest.mark.parametrize("path, kind", [
    ("/v1/apps", list_of("app")), ("/v1/users/self", one_of("user")),
    ("/v1/features/stacks", list_of("stack")), ("/v1/regions", list_of("region")),
    ("/v1/apps/{}", one_of("app")), ("/v1/apps/{}/domains", list_of("domain")),
    ("/v1/apps/{}/variables", list_of("variable"))])
def test_rule_16_and_17_an_empty_query_and_rooted_answers(go, app, path, kind):
    path = path.format(app["id"])
    answer = go("GET", path, kind)
    assert list(answer) == list(kind) and go.sent[-1][1].endswith("?")
    assert answer == go("GET", path + "?nobody=knows&this=1", kind)


def test_rule_7_statuses_are_exact(go, app, apps, pem):
    """201, 200, 204 and 202 as written; GoClient refuses any other."""
    d = add(go, apps, "exact.example.com")
    go("PATCH", f"{apps}/domains/{d['id']}", one_of("domain"), {"domain": {"canonical": True}})
    drop(go, apps, d)
    go("DELETE", f"{apps}/domains/{d['id']}", status=404)
    v = go("POST", apps + "/variables", one_of("variable"),
           {"variable": {"name": "A", "value": "b"}})["variable"]
    go("PATCH", f"{apps}/variables/{v['id']}", one_of("variable"), {"variable": {"value": "c"}})
    go("DELETE", f"{apps}/variables/{v['id']}")
    new = app["name"] + "-new"
    go("POST", apps + "/rename", one_of("app"), {"current_name": app["name"], "new_name": new},
       status=200)
    assert go("DELETE", f"/v1/apps/{new}?current_name={new}") == b""


# ---- the CLI's command lines ----

def first_command(api):
    """The opening of a first command: each client object logs in for itself."""
    auth, regions, go = (GoClient(api.url, api.tokens["alice"]) for _ in range(3))
    assert auth("GET", "/v1/users/self", one_of("user"))["user"]["username"] == "alice"
    region = regions("GET", "/v1/regions", list_of("region"))["regions"][0]
    assert region["api"] == api.url
    return go


def test_domains_ssl(api, apps, pem):
    go = first_command(api)
    add(go, apps, "www.example.com")
    d = go("GET", apps + "/domains", list_of("domain"))["domains"][0]
    done = go("PATCH", f"{apps}/domains/{d['id']}", one_of("domain"), {"domain": pem})["domain"]
    assert done["name"] == "www.example.com" and done["validity"] and done["ssl"]
    assert "BEGIN" not in done["tlscert"] + done["tlskey"]
    off = go("PATCH", f"{apps}/domains/{d['id']}", one_of("domain"),
             send=b'{"domain":{"tlscert":"","tlskey":""}}')["domain"]
    assert off["tlscert"] == off["tlskey"] == "" and off["validity"] is None
    drop(go, apps, d)


def test_domains_add_with_a_certificate(api, apps, pem):
    go = first_command(api)
    d = go("POST", apps + "/domains", one_of("domain"),
           {"domain": {"name": "www.example.com", **pem}})["domain"]
    assert d["ssl"] and d["tlscert"] and d["validity"]
    drop(go, apps, d)


@pytest.mark.parametrize("name", ["www.example.com", "example.com"])
def test_domains_add_no_letsencrypt(api, apps, name):
    go = first_command(api)
    send = b'{"domain":{"name":"%s","letsencrypt_enabled":false}}' % name.encode()
    d = go("POST", apps + "/domains", one_of("domain"), send=send)["domain"]
    assert d["name"] == name and not d["letsencrypt_enabled"] and d["letsencrypt_status"] == ""
    drop(go, apps, d)


def test_a_mismatch_is_told_field_by_field(api, apps, pem):
    go = first_command(api)
    body = {"domain": {"name": "other.example.com", **pem}}
    assert go("POST", apps + "/domains", body=body, status=422)["errors"]["tlscert"]
    body = {"domain": {"name": "other.example.com", "tlscert": pem["tlscert"]}}
    assert go("POST", apps + "/domains", body=body, status=422)["errors"]["tlskey"]


def test_env_commands(api, apps):
    go = first_command(api)
    sent = [{"id": "", "name": n, "value": v} for n, v in
            (("DNS_PROVIDER", "ovh"), ("DNS_OVH_ENDPOINT", "ovh-eu"), ("REF", "$DNS_PROVIDER"))]
    go("PUT", apps + "/variables", list_of("variable"), {"variables": sent})
    seen = go("GET", apps + "/variables?aliases=true", list_of("variable"))["variables"]
    assert [(v["name"], v["value"]) for v in sorted(seen, key=lambda v: v["name"])] == \
        [("DNS_OVH_ENDPOINT", "ovh-eu"), ("DNS_PROVIDER", "ovh"), ("REF", "$DNS_PROVIDER")]
    resolved = go("GET", apps + "/variables?aliases=false", list_of("variable"))["variables"]
    assert {v["name"]: v["value"] for v in resolved}["REF"] == "ovh"
    for v in seen:
        go("DELETE", f"{apps}/variables/{v['id']}")


def test_canonical_commands(api, apps):
    go = first_command(api)
    one, two = add(go, apps, "one.canon.example.com"), add(go, apps, "two.canon.example.com")
    for d in (one, two):
        assert go("PATCH", f"{apps}/domains/{d['id']}", one_of("domain"),
                  {"domain": {"canonical": True}})["domain"]["canonical"]
    listed = go("GET", apps + "/domains", list_of("domain"))["domains"]
    assert [d["id"] for d in listed if d["canonical"]] == [two["id"]]
    go("PATCH", f"{apps}/domains/{two['id']}", one_of("domain"), {"domain": {"canonical": False}})
    for d in (one, two):
        drop(go, apps, d)


def test_destroy(api, app, apps):
    go = first_command(api)
    go("GET", apps, one_of("app"))
    assert go("DELETE", f"{apps}?current_name=other", status=422)["errors"]["current_name"]
    go("DELETE", f"{apps}?current_name={app['name']}")
    assert go("GET", apps, status=404)["resource"] == "app"


def test_password_login_is_refused_as_the_cli_reads_it(api):
    go = GoClient(api.url, "x")
    status, _, text = go.raw("POST", "/v1/tokens", b'{"token":{"name":"Scalingo CLI - host"}}',
                             "Basic YWxpY2U6c2VjcmV0")
    answer = decode(json.loads(text), {"error": "string"})
    assert status == 401 and answer["error"] not in ("", "OTP Required")


# ---- Terraform ----

def provider(api):
    """Three client objects a process: the list of regions, then the API."""
    regions = GoClient(api.url, api.tokens["alice"], "Scalingo Terraform Provider v2.7.4")
    names = [r["name"] for r in regions("GET", "/v1/regions", list_of("region"))["regions"]]
    assert "osc-fr1" in names
    return GoClient(api.url, api.tokens["alice"], regions.agent)


def test_a_terraform_life(api):
    tf = provider(api)
    name = "tf-replay"
    a = tf("POST", "/v1/apps", one_of("app"), {"app": {"name": name}})["app"]
    path = f"/v1/apps/{a['id']}"
    tf("PUT", path + "/variables", list_of("variable"), send=b'{"variables":null}')
    tf("GET", path + "/variables?aliases=true", list_of("variable"))
    tf("PUT", path, one_of("app"), {"force_https": True})
    body = {"domain": {"name": "tf.example.com", "canonical": False, "letsencrypt_enabled": False}}
    d = tf("POST", path + "/domains", one_of("domain"), body)["domain"]
    # plan: read again by another process; what was asked for is what there is
    tf = provider(api)
    read = tf("GET", path, one_of("app"))["app"]
    assert (read["name"], read["force_https"], read["router_logs"], read["project"]["id"]) == \
        (name, True, False, "")
    assert tf("GET", path + "/variables?aliases=true", list_of("variable"))["variables"] == []
    seen = tf("GET", f"{path}/domains/{d['id']}", one_of("domain"))["domain"]
    assert (seen["id"], seen["name"], seen["canonical"]) == (d["id"], "tf.example.com", False)
    # environment, then a restart whose operation is polled
    tf("PUT", path + "/variables", list_of("variable"),
       {"variables": [{"id": "", "name": "DNS_PROVIDER", "value": "ovh"}]})
    tf("POST", path + "/restart", send=b"null", status=202)
    op = tf.headers["Location"].split(tf.host)[1]
    assert tf("GET", op, one_of("operation"))["operation"]["status"] == "done"
    # canonical on and off; off goes to whichever domain is canonical now
    tf("PATCH", f"{path}/domains/{d['id']}", one_of("domain"), {"domain": {"canonical": True}})
    listed = tf("GET", path + "/domains", list_of("domain"))["domains"]
    now = next(x for x in listed if x["canonical"])
    tf("PATCH", f"{path}/domains/{now['id']}", one_of("domain"), {"domain": {"canonical": False}})
    # another name: the old one stands in the path
    tf("POST", f"/v1/apps/{name}/rename", one_of("app"),
       {"current_name": name, "new_name": "tf-replay-2"}, status=200)
    # import by name, then the end
    tf = provider(api)
    assert tf("GET", "/v1/apps/tf-replay-2", one_of("app"))["app"]["id"] == a["id"]
    tf("PATCH", path, one_of("app"), {"app": {"stack_id": read["stack_id"]}})
    tf("DELETE", f"{path}/domains/{d['id']}")
    tf("DELETE", f"{path}?current_name=tf-replay-2")
    assert tf("GET", path, status=404)["resource"] == "app"


def test_terraform_makes_ten_domains_at_once(api, go, app):
    made, failed = [], []

    def one(i):
        try:
            tf = GoClient(api.url, api.tokens["alice"])
            made.append(tf("POST", f"/v1/apps/{app['id']}/domains", one_of("domain"), {
                "domain": {"name": f"at-once-{i}.example.com", "canonical": False,
                           "letsencrypt_enabled": True}})["domain"]["name"])
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed and len(set(made)) == 10


def test_every_struct_is_used():
    """The table of Go's structs has none that no replay decodes."""
    from pathlib import Path
    text = Path(__file__).read_text()
    assert [name for name in STRUCT if f'of("{name}")' not in text] == ["token"]
