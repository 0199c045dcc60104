"""What clever-tools ask for."""

import base64
import http.client
import json
import re
import subprocess
import urllib.parse
from urllib.parse import quote

import pytest

from api_testd import Api

APP = re.compile(r"^app_[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


@pytest.fixture(scope="module")
def api():
    api = Api("names.any_tld=true", "upstream.allow=10.20.0.0/16")
    yield api
    api.close()


_serial = [0]


def new(kind):
    _serial[0] += 1
    return f"{kind}-{_serial[0]:04}"


def oauth(api, user="alice", token=None, secret=None):
    secret = secret or api.tokens[user]
    return {"Authorization": f'OAuth oauth_consumer_key="ck", oauth_token="{token or user}", '
                             f'oauth_signature="cs%26{quote(secret)}"'}


def ask(api, method, path, body=None, user="alice"):
    return api.call(method, path, body, headers=oauth(api, user))


@pytest.fixture
def app(api):
    made = api.call("POST", "/v1/apps", {"app": {"name": new("app")}}, user="alice").json["app"]
    summary = ask(api, "GET", "/v2/summary").json["user"]
    seen = next(a for a in summary["applications"] if a["name"] == made["name"])
    return {**made, "base": f"/v2/organisations/{summary['id']}/applications/{seen['id']}",
            "v2": seen["id"]}


def message(answer, status, kind="error"):
    assert answer.status == status, answer
    assert set(answer.json) == {"id", "message", "type"} and answer.json["type"] == kind
    assert isinstance(answer.json["id"], int) and answer.json["message"]
    assert answer.headers["Content-Type"].startswith("application/json")
    return answer.json


# ---- who asks ----

def test_oauth_and_bearer(api):
    me = ask(api, "GET", "/v2/self")
    assert me.status == 200 and me.json["id"].startswith("user_") and me.json["email"]
    by_id = api.call("GET", "/v1/tokens", user="alice").json["tokens"][0]["id"]
    assert api.call("GET", "/v2/self", headers=oauth(api, token=by_id)).json == me.json
    assert api.call("GET", "/v2/self", bearer=api.tokens["alice"]).json == me.json
    assert api.call("GET", "/v2/self", user="alice").json == me.json
    full = (f'OAuth realm="x",oauth_signature_method="PLAINTEXT",oauth_nonce="1",oauth_token="alice"'
            f',oauth_signature="%26{api.tokens["alice"]}"')
    assert api.call("GET", "/v2/self", headers={"Authorization": full}).status == 200
    assert ask(api, "GET", "/v2/self/tokens/current").status == 200


@pytest.mark.parametrize("header", [
    "OAuth", "OAuth x", 'OAuth oauth_token="alice"', 'OAuth oauth_token="alice", oauth_signature="x"',
    'OAuth oauth_token="alice", oauth_signature="cs%26"',
    'OAuth oauth_token="alice", oauth_signature="cs%26wrong"',
    'OAuth oauth_token="alice", oauth_signature="cs%2',
    'OAuth oauth_token="alice", oauth_signature="%00%26x"', None,
])
def test_others_are_turned_away(header):
    api = Api()
    answer = api.call("GET", "/v2/self", headers={"Authorization": header} if header else {})
    message(answer, 401)
    api.close()


def test_the_token_must_be_the_users(api):
    message(api.call("GET", "/v2/self", headers=oauth(api, "alice", token="bob")), 401)
    answer = api.call("GET", "/v2/self", headers={
        "Authorization": f'OAuth oauth_token="alice", oauth_signature_method="HMAC-SHA1", '
                         f'oauth_signature="%26{api.tokens["alice"]}"'})
    message(answer, 401)


def test_summary(api, app):
    answer = ask(api, "GET", "/v2/summary").json
    assert answer["organisations"] == [] and answer["user"]["addons"] == []
    assert answer["user"]["consumers"] == [] and APP.match(app["v2"])
    assert app["name"] not in [a["name"] for a in
                               ask(api, "GET", "/v2/summary", user="bob").json["user"]["applications"]]


# ---- names ----

def test_vhosts(api, app):
    fqdn = f"{new('www')}.example.com"
    url = f"{app['base']}/vhosts/{fqdn}"
    message(api.call("PUT", url, raw_body="", headers=oauth(api)), 200, "success")
    message(ask(api, "PUT", url), 200, "success")
    assert ask(api, "GET", f"{app['base']}/vhosts").json == [{"fqdn": fqdn}]
    whole = ask(api, "GET", app["base"]).json
    assert whole["vhosts"] == [{"fqdn": fqdn}] and whole["name"] == app["name"]
    assert ask(api, "GET", f"/v2/self/applications/{app['id']}/vhosts").json == [{"fqdn": fqdn}]
    assert "added" in api.do("hooks")
    wild = f"*.{new('w')}.example.com"
    message(ask(api, "PUT", f"{app['base']}/vhosts/{wild}"), 200, "success")
    message(ask(api, "DELETE", url), 200, "success")
    message(ask(api, "DELETE", url), 404)
    assert ask(api, "GET", f"{app['base']}/vhosts").json == [{"fqdn": wild}]


def test_vhosts_that_are_refused(api, app):
    message(ask(api, "PUT", f"{app['base']}/vhosts/not_a_name"), 400)
    message(ask(api, "PUT", f"{app['base']}/vhosts/www.example.com%2Fpath"), 400)
    other = api.call("POST", "/v1/apps", {"app": {"name": new("app")}}, user="bob").json["app"]
    fqdn = f"{new('www')}.example.com"
    api.call("POST", f"/v1/apps/{other['id']}/domains", {"domain": {"name": fqdn}}, user="bob")
    message(ask(api, "PUT", f"{app['base']}/vhosts/{fqdn}"), 400)


def test_favourite(api, app):
    fqdn = f"{new('www')}.example.com"
    url = f"{app['base']}/vhosts/favourite"
    assert message(ask(api, "GET", url), 404)["id"] == 4021
    message(ask(api, "PUT", url, {"fqdn": fqdn}), 404)
    message(ask(api, "PUT", url, {}), 400)
    ask(api, "PUT", f"{app['base']}/vhosts/{fqdn}")
    assert ask(api, "PUT", url, {"fqdn": fqdn}).json == {"fqdn": fqdn}
    assert ask(api, "GET", url).json == {"fqdn": fqdn}
    assert ask(api, "DELETE", url).status == 204
    assert message(ask(api, "GET", url), 404)["id"] == 4021


# ---- env ----

def test_env(api, app):
    url = f"{app['base']}/env"
    assert ask(api, "GET", url).json == []
    message(ask(api, "PUT", f"{url}/DNS_PROVIDER", {"value": "ovh"}), 200, "success")
    message(ask(api, "PUT", f"{url}/DNS_PROVIDER", {"value": "azure"}), 200, "success")
    message(ask(api, "PUT", f"{url}/A%20B", {"value": "x"}), 400)
    message(ask(api, "PUT", f"{url}/A", {}), 400)
    assert ask(api, "GET", url).json == [{"name": "DNS_PROVIDER", "value": "azure"}]
    for other in ("addons", "dependencies"):
        assert ask(api, "GET", f"{app['base']}/{other}/env").json == []
    message(ask(api, "DELETE", f"{url}/DNS_PROVIDER"), 200, "success")
    message(ask(api, "DELETE", f"{url}/DNS_PROVIDER"), 404)


def test_env_in_bulk(api, app):
    url = f"{app['base']}/env"
    message(ask(api, "PUT", url, {"A": "1", "B": "2"}), 200, "success")
    assert ask(api, "GET", url).json == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    # The list that GET gives is taken, too; what is not in it goes.
    message(ask(api, "PUT", url, [{"name": "B", "value": "3"}, {"name": "C", "value": ""}]), 200,
            "success")
    assert ask(api, "GET", url).json == [{"name": "B", "value": "3"}, {"name": "C", "value": ""}]
    for wrong in ({"A": 1}, {"A B": "x"}, {"A": None}, [{"name": "A"}], [1], {"A": "x" * 8193}):
        message(ask(api, "PUT", url, wrong), 400)
    assert len(ask(api, "GET", url).json) == 2  # a refusal changes nothing
    message(ask(api, "PUT", url, {}), 200, "success")
    assert ask(api, "GET", url).json == []
    kinds = [e["kind"] for e in api.call("GET", f"/v1/apps/{app['id']}/events",
                                         user="alice").json["events"]]
    assert kinds[:4] == ["variables.removed"] * 2 + ["variables.set", "variables.removed"]


# ---- the form in a browser ----

class Browser:
    """What a browser does: keeps Basic credentials once asked, and says where a form stood."""

    def __init__(self, api, password):
        self.api, self.password = api, password

    def send(self, method, body=None, login=True, **more):
        headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        if login:
            headers["Authorization"] = "Basic " + base64.b64encode(
                f"me:{self.password}".encode()).decode()
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        headers.update({k.replace("_", "-"): v for k, v in more.items()})
        c = http.client.HTTPConnection("127.0.0.1", self.api.port, timeout=30)
        c.request(method, "/v2/certificates/new", body=body, headers=headers)
        r = c.getresponse()
        page = r.read().decode()
        c.close()
        return r.status, r.headers, page


def test_a_browser_uses_the_form(api, app, tmp_path):
    fqdn = f"{new('c')}.example.com"
    ask(api, "PUT", f"{app['base']}/vhosts/{fqdn}")
    pem = bundle(tmp_path, fqdn).read_text()
    body = urllib.parse.urlencode({"pem": pem.replace("\n", "\r\n")})
    browser = Browser(api, api.tokens["alice"])
    same = {"Origin": api.url, "Sec_Fetch_Site": "same-origin"}
    status, headers, page = browser.send("GET", login=False)
    assert status == 200 and "<form method=post" in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy
    assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "same-origin"
    # Asked for a password, it sends the form again with it.
    status, headers, page = browser.send("POST", body, login=False, **same)
    assert status == 401 and headers["WWW-Authenticate"].startswith("Basic realm=")
    assert headers["Content-Type"].startswith("text/html")
    status, _, page = browser.send("POST", body, **same)
    assert status == 201 and "installed for 1 of your names" in page
    status, _, page = browser.send("POST", "pem=<b>", **same)
    assert status == 400 and "PEM bundle" in page and "<b>" not in page
    # Older browsers say Origin only; curl says neither.
    assert browser.send("POST", body, Origin=api.url)[0] == 201
    assert browser.send("POST", body)[0] == 201
    wrong = Browser(api, "tk-us-wrong").send("POST", body, **same)
    assert wrong[0] == 401 and wrong[1]["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("said", [
    {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "x" * 99},
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "x" * 999},
    {"Origin": "http://127.0.0.1:1"}])
def test_another_sites_form_is_refused(api, app, tmp_path, said):
    fqdn = f"{new('c')}.example.com"
    ask(api, "PUT", f"{app['base']}/vhosts/{fqdn}")
    body = urllib.parse.urlencode({"pem": bundle(tmp_path, fqdn).read_text()})
    status, headers, _ = Browser(api, api.tokens["alice"]).send("POST", body, **said)
    assert status == 403 and "WWW-Authenticate" not in headers
    domains = api.call("GET", f"/v1/apps/{app['id']}/domains", user="alice").json["domains"]
    assert not [d for d in domains if d["name"] == fqdn][0]["ssl"]


def test_basic_opens_nothing_else(api):
    basic = base64.b64encode(f"alice:{api.tokens['alice']}".encode()).decode()
    for path in ("/v1/apps", "/v2/self", "/v2/summary"):
        assert api.call("GET", path, headers={"Authorization": f"Basic {basic}"}).status == 401


# ---- others ----

def test_foreign_apps_are_absent(api, app):
    bob = ask(api, "GET", "/v2/self", user="bob").json["id"]
    for base in (app["base"], app["base"].replace(app["base"].split("/")[3], bob),
                 f"/v2/self/applications/{app['v2']}"):
        for method, path in (("GET", ""), ("GET", "/vhosts"), ("GET", "/env"),
                             ("GET", "/vhosts/favourite"), ("PUT", "/vhosts/www.example.com"),
                             ("DELETE", "/vhosts/www.example.com")):
            message(ask(api, method, base + path, user="bob"), 404)


def test_a_deploy_token_sees_its_app(api, app):
    token = api.call("POST", "/v1/tokens", {"token": {"name": "d", "app": app["id"]}},
                     user="alice").json["token"]
    headers = oauth(api, token=token["id"], secret=token["token"])
    seen = api.call("GET", "/v2/summary", headers=headers).json["user"]["applications"]
    assert [a["id"] for a in seen] == [app["v2"]]
    assert api.call("GET", f"{app['base']}/vhosts", headers=headers).status == 200


def test_unknown_paths_have_messages_too(api):
    message(ask(api, "GET", "/v2/nothing"), 404)
    message(ask(api, "POST", "/v2/self", {}), 405)
    assert json.loads(ask(api, "GET", "/v2/summary").text)


# ---- certificates ----

def bundle(tmp_path, *names, reverse=False):
    """Key, certificate and issuer of a CA of our own, in one file."""
    d = tmp_path
    run = lambda *a: subprocess.run(["openssl", *map(str, a)], check=True, capture_output=True)  # noqa: E731
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run("req", "-x509", *ec, "-keyout", d / "ca.key", "-out", d / "ca.pem", "-days", "30", "-subj",
        "/CN=ca", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
        "keyUsage=critical,keyCertSign")
    (d / "ext").write_text(f"subjectAltName={','.join('DNS:' + n for n in names)}\n"
                           "extendedKeyUsage=serverAuth\n")
    run("req", *ec, "-keyout", d / "key.pem", "-out", d / "csr.pem", "-subj", f"/CN={names[0]}")
    run("x509", "-req", "-in", d / "csr.pem", "-CA", d / "ca.pem", "-CAkey", d / "ca.key",
        "-CAcreateserial", "-days", "20", "-extfile", d / "ext", "-out", d / "leaf.pem")
    parts = [(d / n).read_text() for n in ("key.pem", "leaf.pem", "ca.pem")]
    file = d / "bundle.pem"
    file.write_text("".join(reversed(parts) if reverse else parts))
    return file


def curl(api, *args, user="alice", path="/v2/certificates/new"):
    done = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", "-H",
                           f"Authorization: Bearer {api.tokens[user]}", *map(str, args),
                           api.url + path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    body, status = done.stdout.rsplit("\n", 1)
    return int(status), body


WAYS = {
    "data-binary": lambda f: ("--data-binary", f"@{f}"),
    "data": lambda f: ("-d", f"@{f}"),
    "data-urlencode": lambda f: ("--data-urlencode", f"pem@{f}"),
    "form file": lambda f: ("-F", f"pem=@{f}"),
    "form text": lambda f: ("-F", f"pem=<{f}"),
    "form other field": lambda f: ("-F", f"bundle=<{f}", "-F", "x=y"),
    "upload": lambda f: ("-T", f),
    "text/plain": lambda f: ("-H", "Content-Type: text/plain", "--data-binary", f"@{f}"),
    "json": lambda f: ("-H", "Content-Type: application/json", "-d",
                       json.dumps({"pem": f.read_text()})),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_upload(api, app, tmp_path, way):
    fqdn, other = f"{new('c')}.example.com", f"{new('c')}.example.com"
    for name in (fqdn, other):
        ask(api, "PUT", f"{app['base']}/vhosts/{name}")
    file = bundle(tmp_path, fqdn, reverse=way == "upload")
    # curl -T adds the file's name to a URL that ends with a slash only
    status, body = curl(api, *WAYS[way](file))
    assert status == 201, body
    assert json.loads(body)["type"] == "success"
    seen = {d["name"]: d for d in api.call("GET", f"/v1/apps/{app['id']}/domains",
                                           user="alice").json["domains"]}
    assert seen[fqdn]["ssl"] is True and seen[fqdn]["tlscert"] == f"/CN={fqdn}"
    assert seen[other]["ssl"] is False


def test_one_bundle_for_many_names(api, app, tmp_path):
    wild = new("w")
    names = [f"a.{wild}.example.com", f"b.{wild}.example.com"]
    for name in names:
        ask(api, "PUT", f"{app['base']}/vhosts/{name}")
    file = bundle(tmp_path, f"*.{wild}.example.com")
    status, body = curl(api, "--data-binary", f"@{file}", path="/v2/certificates")
    assert status == 201 and " 2 " in json.loads(body)["message"]
    status, page = curl(api, "-H", "Accept: text/html", "--data-binary", f"@{file}")
    assert status == 201 and page.startswith("<!doctype html>")
    # of another tenant none is covered: it is kept
    status, body = curl(api, "--data-binary", f"@{file}", user="bob")
    assert status == 201 and "none of its names yet" in json.loads(body)["message"]
    domains = api.call("GET", f"/v1/apps/{app['id']}/domains", user="alice").json["domains"]
    assert all(d["ssl"] for d in domains)


def test_bundles_that_are_refused(api, app, tmp_path):
    fqdn = f"{new('c')}.example.com"
    ask(api, "PUT", f"{app['base']}/vhosts/{fqdn}")
    bundle(tmp_path, fqdn)
    for data in ("", "x", "pem=x", "pem=%00", "-----BEGIN CERTIFICATE-----", "a=b&c=d"):
        answer = api.call("POST", "/v2/certificates/new", raw_body=data, headers=oauth(api))
        message(answer, 400)
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x", "application/json"):
        answer = curl(api, "-H", f"Content-Type: {kind}", "-d", "--x{")
        assert answer[0] == 400, answer
    leaf = (tmp_path / "leaf.pem").read_text()
    message(api.call("POST", "/v2/certificates/new", raw_body=leaf, headers=oauth(api)), 400)
    assert api.call("POST", "/v2/certificates/new", raw_body=leaf).status == 401
    form = subprocess.run(["curl", "-sS", api.url + "/v2/certificates/new"], capture_output=True,
                          text=True)
    assert '<textarea name="pem"' in form.stdout
