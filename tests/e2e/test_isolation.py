"""Nobody sees, guesses or affects what another tenant has: route by route.

The routes come from /openapi.json; each needs its row in OPERATIONS, so that a new one cannot be
forgotten here.  A foreign object answers as one that is not there, byte by byte; a refused request
leaves every row of the database as it was.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import json
import re
import secrets
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from api_testd import Answer
from stack import Stack
from tenants import Platform, nobody

APP = "/v1/apps/{app}"
DOMAIN = APP + "/domains/{id}"
WEBHOOK = "/v1/webhooks/{id}"
IMPORT = "/v1/imports/{id}"
V2 = ("/v2/organisations/{owner}/applications/{app}", "/v2/self/applications/{app}")
EDGE_KEY = base64.b64encode(bytes([9] + [0] * 31)).decode()

PUBLIC, OPERATOR, EDGE, OWN = "public", "operator", "edge", "own"


class Op:
    """What stands behind a route: for whom it is, which kinds of objects its path names, a body
    with which it would succeed.  "new" is a word that names nothing that must be there."""

    def __init__(self, whose, kinds="", body=None, raw=None, query=""):
        self.whose, self.kinds, self.body, self.raw = whose, kinds.split(), body, raw
        self.query = query


def public(**more):
    return Op(PUBLIC, **more)


def operator(kinds="", body=None):
    return Op(OPERATOR, kinds, body)


def own(kinds="", body=None, **more):
    return Op(OWN, kinds, body, **more)


def name_of(t):
    return f"new-{t.mark}"


OPERATIONS = {
    "GET /v1/health": public(), "GET /v1/ready": public(), "GET /openapi.json": public(),
    "GET /v1/regions": public(), "POST /v1/tokens/exchange": public(body={}),
    "POST /edge/v1/enrol": public(body={}), "GET /v2/certificates/new": public(),
    "GET /edge/v1/snapshot": Op(EDGE), "GET /edge/v1/changes": Op(EDGE),

    "GET /metrics": operator(),
    "GET /v1/users": operator(), "POST /v1/users": operator(body={"user": {
        "username": "mallory", "email": "m@example.com", "role": "operator"}}),
    "GET /v1/users/{user}": operator("user"),
    "PATCH /v1/users/{user}": operator("user", {"user": {"role": "operator"}}),
    "DELETE /v1/users/{user}": operator("user"),
    "GET /v1/users/{user}/tokens": operator("user"),
    "POST /v1/users/{user}/tokens": operator("user", {"token": {"name": "mine now"}}),
    "DELETE /v1/users/{user}/tokens/{id}": operator("user token"),
    "GET /v1/events": operator(), "GET /v1/ledger": operator(), "GET /v1/platform": operator(),
    "GET /v1/cas": operator(), "GET /v1/cas/{id}": operator("new"), "GET /v1/edges": operator(),
    "POST /v1/edges/enrol-tokens": operator(body={}), "DELETE /v1/edges/{id}": operator("new"),

    "GET /v1/tokens": own(), "POST /v1/tokens": own(body={"token": {"name": "another"}}),
    "DELETE /v1/tokens/{id}": own("token"),
    "PATCH /v1/tokens/{id}": own("token", {"token": {"name": "renamed"}}),
    "PATCH /v1/tokens/{id}/renew": own("token"),
    "GET /v1/users/self": own(), "GET /v1/features/stacks": own(), "GET /v1/dns_providers": own(),
    "GET /v1/apps": own(),
    "POST /v1/apps": own(body=lambda t: {"app": {"name": name_of(t)}}),
    "GET " + APP: own("app"),
    "PUT " + APP: own("app", {"force_https": True}),
    "PATCH " + APP: own("app", {"app": {"force_https": True}}),
    "DELETE " + APP: own("app", query=lambda t: "?current_name=" + t.name["app"]),
    f"POST {APP}/rename": own("app", lambda t: {"current_name": t.name["app"],
                                                "new_name": name_of(t)}),
    f"POST {APP}/restart": own("app", {"scope": None}),
    f"GET {APP}/operations/{{id}}": own("app operation"),
    f"GET {APP}/variables": own("app", query="?aliases=false"),
    f"PUT {APP}/variables": own("app", {"variables": [{"name": "ANOTHER", "value": "1"}]}),
    f"POST {APP}/variables": own("app", {"variable": {"name": "ANOTHER", "value": "1"}}),
    f"DELETE {APP}/variables": own("app", lambda t: {"variable_ids": [t.id["variable"]]}),
    f"PATCH {APP}/variables/{{id}}": own("app variable", {"variable": {"value": "2"}}),
    f"DELETE {APP}/variables/{{id}}": own("app variable"),
    f"GET {APP}/upstreams": own("app"),
    f"PUT {APP}/upstreams": own("app", {"upstreams": [{"address": "10.20.0.9:80"}]}),
    f"PATCH {APP}/upstreams/{{id}}": own("app upstream", {"upstream": {"drain": True}}),
    f"GET {APP}/domains": own("app"),
    f"POST {APP}/domains": own("app", lambda t: {"domain": {"name": f"{name_of(t)}.test"}}),
    f"GET {APP}/events": own("app"),
    "GET " + DOMAIN: own("app domain"),
    "PATCH " + DOMAIN: own("app domain", {"domain": {"canonical": True}}),
    "DELETE " + DOMAIN: own("app domain"),
    f"GET {DOMAIN}/explain": own("app domain"),
    f"GET {DOMAIN}/events": own("app domain"),
    f"GET {DOMAIN}/proof": own("app new"),
    f"GET {DOMAIN}/csr": own("app domain"),
    f"POST {DOMAIN}/csr": own("app domain", {"csr": {"key_type": "p256"}}),
    f"DELETE {DOMAIN}/csr/{{csr}}": own("app domain csr"),
    f"POST {DOMAIN}/retry": own("app domain", {}),
    "GET /v1/domains/export": own(),
    "GET /v1/imports": own(), "POST /v1/imports": own(body={"import": {}}),
    "GET " + IMPORT: own("import"),
    f"PUT {IMPORT}/lines": own("import", raw=lambda t: f'{{"name":"{name_of(t)}.test"}}\n',
                               query="?from=2"),
    f"GET {IMPORT}/refusals": own("import"),
    f"POST {IMPORT}/finish": own("import", {}), f"POST {IMPORT}/cancel": own("import", {}),
    "POST /v1/certificates/check": own(body={"certificate": {"tlscert": "x"}}),
    "GET /v1/bundles": own(), "DELETE /v1/bundles/{id}": own("bundle"),
    "GET /v1/webhooks": own(),
    "POST /v1/webhooks": own(body={"webhook": {"url": "https://example.com/"}}),
    "GET " + WEBHOOK: own("webhook"),
    "PATCH " + WEBHOOK: own("webhook", {"webhook": {"active": False}}),
    "DELETE " + WEBHOOK: own("webhook"),
    f"POST {WEBHOOK}/ping": own("webhook"),

    "GET /v2/self": own(), "GET /v2/self/tokens/current": own(), "GET /v2/summary": own(),
    "POST /v2/certificates/new": own(raw="pem="), "PUT /v2/certificates/new": own(raw="pem="),
    "POST /v2/certificates": own(raw="pem="),
    "GET /v2/certificates": own(), "DELETE /v2/certificates/{id}": own("bundle"),
}
for base, before in zip(V2, ("user app", "app")):
    OPERATIONS |= {
        "GET " + base: own(before), f"GET {base}/vhosts": own(before),
        f"GET {base}/vhosts/favourite": own(before),
        f"PUT {base}/vhosts/favourite": own(before, lambda t: {"fqdn": t.name["domain"]}),
        f"DELETE {base}/vhosts/favourite": own(before),
        f"PUT {base}/vhosts/{{fqdn}}": own(before + " new"),
        f"DELETE {base}/vhosts/{{fqdn}}": own(before + " domain"),
        f"GET {base}/env": own(before), f"GET {base}/addons/env": own(before),
        f"GET {base}/dependencies/env": own(before),
        f"PUT {base}/env": own(before, {"ANOTHER": "1"}),
        f"PUT {base}/env/{{name}}": own(before + " new", {"value": "1"}),
        f"DELETE {base}/env/{{name}}": own(before + " variable"),
    }


def of(*whose, kinds=None):
    """Operations as parameters of a test."""
    return pytest.mark.parametrize("op", [
        name for name, o in OPERATIONS.items()
        if o.whose in whose and (kinds is None or bool(o.kinds) == kinds)])


def given(what, t):
    return what(t) if callable(what) else what


def path_of(op, words):
    path = op.split(" ", 1)[1]
    for word in words:
        path = re.sub(r"\{\w+\}", lambda m: quote(word, safe=""), path, count=1)
    return path


def words_for(op, t):
    """Its own words for the path."""
    new = f"{name_of(t)}.test" if "vhosts" in op or "proof" in op else "A_NAME"
    return [new if kind == "new" else t.word(kind) for kind in OPERATIONS[op].kinds]


def ask(p, op, words, t, **more):
    """The request that would succeed with `t`'s objects."""
    o = OPERATIONS[op]
    raw = given(o.raw, t)
    more = more or {"user": t.user}
    return p.call(op.split(" ", 1)[0], path_of(op, words) + (given(o.query, t) or ""),
                  given(o.body, t) if raw is None else None, raw_body=raw, **more)


def seen(answer, *echoed):
    """An answer without what two of them may differ in."""
    text = answer.text
    for word in sorted(echoed, key=len, reverse=True):
        text = text.replace(quote(word, safe=""), "@").replace(word, "@")
    fields = sorted((k, v) for k, v in answer.headers.items()
                    if k.lower() not in ("date", "x-request-id"))
    return answer.status, fields, text


# ---- the database ----

class Sqlite:
    def __init__(self, folder):
        self.setting = []

    def rows(self, p):
        with sqlite3.connect(f"file:{p.api.dir}/postern.db?mode=ro", uri=True, timeout=20) as db:
            db.row_factory = sqlite3.Row
            names = [r[0] for r in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
            return {name: [dict(r) for r in db.execute(f"SELECT * FROM {name}")] for name in names}

    def close(self):
        pass


class Postgresql:
    def __init__(self, folder):
        (folder / "log").mkdir()
        self.stack = Stack(folder, db="postgresql")
        self.url = self.stack.database()
        self.setting = [f"database.url={self.url}"]

    def ask(self, sql):
        return subprocess.run(["psql", "-qAt", self.url, "-c", sql], check=True,
                              capture_output=True, text=True).stdout

    def rows(self, p):
        names = self.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").split()
        text = self.ask(" UNION ALL ".join(
            f"SELECT json_build_object('t', '{n}', 'r', row_to_json(x))::text FROM {n} x"
            for n in names))
        found = {name: [] for name in names}
        for line in text.splitlines():
            row = json.loads(line)
            found[row["t"]].append(row["r"])
        return found

    def close(self):
        self.stack.down()


def state(p):
    """All rows, but for when a token was used."""
    return sorted(f"{table} {sorted((k, str(v)) for k, v in row.items() if k != 'last_used_at_ms')}"
                  for table, rows in p.db.rows(p).items() for row in rows)


def rows_of(p, t):
    """What the database has that names anything of a tenant's."""
    return [row for row in state(p) if any(n in row for n in [*t.id.values(), t.mark])]


def furnished(db):
    folder = Path(tempfile.mkdtemp(prefix="postern-isolation-"))
    folder.chmod(0o755)
    db = db(folder)
    platform = Platform(folder, *db.setting)
    platform.db = db
    platform.a = platform.furnish("alice", certificate=True)
    platform.b = platform.furnish("bob", certificate=True)
    platform.api.do("seal")
    yield platform
    platform.api.close()
    db.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def lite():
    yield from furnished(Sqlite)


@pytest.fixture(scope="module")
def postgresql():
    yield from furnished(Postgresql)


@pytest.fixture(params=["lite", "postgresql"])
def p(request):
    """For what may depend on the database; the rest runs on SQLite alone."""
    return request.getfixturevalue(request.param)


# ---- every route is here ----

def test_every_route_has_its_row(lite):
    doc = lite.call("GET", "/openapi.json").json
    routes = {f"{method.upper()} {path}": op["x-needs"] for path, item in doc["paths"].items()
              for method, op in item.items()}
    assert set(routes) == set(OPERATIONS)
    needs = {PUBLIC: {"anybody"}, OPERATOR: {"an operator", "an operator or reader"},
             EDGE: {"an edge"}, OWN: {"any account", "an account that may write"}}
    for route, need in routes.items():
        assert need in needs[OPERATIONS[route].whose], route
        assert len(re.findall(r"\{", route)) == len(OPERATIONS[route].kinds), route


@of(OWN, kinds=True)
def test_the_request_would_succeed_with_ones_own(lite, op):
    """So that the refusals below are for what they seem to be for."""
    t = lite.furnish(lite.account())
    answer = ask(lite, op, words_for(op, t), t)
    assert answer.status in (200, 201, 202, 204), answer


# ---- what is another's is as what is not there ----

@of(OWN, kinds=True)
def test_foreign_objects_are_as_absent(p, op):
    kinds = OPERATIONS[op].kinds
    none = nobody(p.b)
    before, n = state(p), 0
    for at, kind in enumerate(kinds):
        if kind == "new":
            continue
        first = [p.a.word(k) for k in kinds[:at]]
        rest = words_for(op, p.b)[at + 1:]
        for theirs, absent in zip(p.b.forms(kind), none.forms(kind)):
            answer = ask(p, op, [*first, theirs, *rest], p.b, user="alice")
            other = ask(p, op, [*first, absent, *rest], p.b, user="alice")
            assert seen(answer, theirs) == seen(other, absent), (theirs, absent)
            assert answer.status == 404, (theirs, answer)
            n += 1
    assert n >= 2 and state(p) == before


@of(OWN, kinds=True)
def test_odd_spellings_find_nothing(lite, op):
    kinds = OPERATIONS[op].kinds
    before = state(lite)
    for at, kind in enumerate(kinds):
        if kind == "new":
            continue
        word = lite.b.word(kind)
        for odd in (word + "x", word[:-1], "x" * 4000, word + " ", " " + word, "%", "_", "*",
                    word + "' OR '1'='1", "0", "-1", "null", word + "\u200b", word.upper() + "\n",
                    "0x" + word, "ａ" + word[1:]):
            words = [lite.a.word(k) for k in kinds[:at]] + [odd] + words_for(op, lite.b)[at + 1:]
            answer = ask(lite, op, words, lite.b, user="alice")
            assert answer.status in (400, 404), (odd, answer)
            assert not any(n in answer.text for n in lite.b.needles() if n not in odd), (odd, answer)
    assert state(lite) == before


def body_references(t):
    """Requests of alice's whose body or query names an object of t's."""
    app = f"/v1/apps/{t.alices}"
    line = json.dumps({"app": t.id["app"], "name": "fine.test"}).encode()
    for word in (t.id["app"], t.name["app"]):
        yield "POST", "/v1/tokens", {"token": {"name": "x", "app": word}}, None
        yield "POST", "/v1/webhooks", {"webhook": {"url": "https://e.com", "app": word}}, None
        yield "POST", "/v1/imports", {"import": {"app": word}}, None
        yield "GET", f"/v1/domains/export?app={word}", None, None
    yield "DELETE", app + "/variables", {"variable_ids": [t.id["variable"]]}, None
    for word in (t.id["domain"], t.name["domain"]):
        yield "PUT", f"/v2/self/applications/{t.alices}/vhosts/favourite", {"fqdn": word}, None
    yield "PUT", f"/v1/imports/{t.alices_import}/lines?from=2", None, line


def test_objects_in_bodies_are_as_absent_too(p):
    b, none = p.b, nobody(p.b)
    begun = p.made("POST", "/v1/imports", {"import": {"dry_run": True}}, "alice", "import", "id")
    for t, at in ((b, 1), (none, 2)):
        t.alices, t.alices_import = p.a.id["app"], begun
    assert p.call("PUT", f"/v1/imports/{begun}/lines?from=1", raw_body=b"\n",
                  user="alice").status == 200
    before = rows_of(p, b)
    for ours, theirs in zip(body_references(none), body_references(b)):
        told = []
        for (method, path, body, raw), t in ((theirs, b), (ours, none)):
            if raw:  # an import goes on behind a line that it refuses
                path = path.replace("from=2", f"from={2 + len(told)}")
            answer = p.call(method, path, body, user="alice", raw_body=raw)
            told.append(answer)
        if theirs[3]:
            lines = [r["error"] for r in told[1].json["import"]["refusals"]]
            assert lines == ["there is no such app"] * 2
            continue
        assert seen(told[0], *b.needles()) == seen(told[1], *none.needles()), theirs
        assert told[0].status in (404, 422), (theirs, told[0])
    assert rows_of(p, b) == before


# ---- lists and answers about oneself hold nothing of others ----

@of(OWN)
def test_nothing_of_others_is_in_what_one_reads(p, op):
    if not op.startswith("GET "):
        return
    answer = ask(p, op, words_for(op, p.a), p.a)
    assert answer.status == 200, answer
    told = answer.text + str(answer.headers)
    for needle in [*p.b.needles(), p.b.mark]:
        assert needle not in told, needle


def test_the_needles_are_what_a_tenant_sees(p):
    """What is looked for above stands in what its owner reads, so that it could be found."""
    told = "".join(ask(p, op, words_for(op, p.b), p.b).text for op, o in OPERATIONS.items()
                   if o.whose == OWN and op.startswith("GET "))
    hidden = {p.b.values[k] for k, v in enumerate(p.b.values)
              if v.startswith(("whsec_", "tk-"))}
    assert len(hidden) == 2
    for needle in p.b.needles():
        assert (needle in told) != (needle in hidden), needle


@of(OWN)
def test_writes_with_ones_own_change_nothing_of_others(lite, op):
    """Also with fields in the body that name the other."""
    if op.startswith("GET "):
        return
    t = lite.furnish(lite.account())
    b, body = lite.b, given(OPERATIONS[op].body, t)
    before, theirs = rows_of(lite, b), own_view(lite, b)
    more = {"id": b.id["app"], "user_id": b.id["user"], "app_id": b.id["app"], "tenant": b.user,
            "domain_id": b.id["domain"], "owner": None, "seq": 1, "custom_cert": 1, "role":
            "operator", "user": b.id["user"]}
    answers = [ask(lite, op, words_for(op, t), t)]
    if isinstance(body, dict):
        for key, inner in [*body.items()]:
            if isinstance(inner, dict):
                body = {**body, key: {**inner, **more}}
        answers.append(lite.call(op.split(" ", 1)[0], path_of(op, words_for(op, t)),
                              {**more, **body}, user=t.user))
    for answer in answers:
        assert not any(n in answer.text for n in [*b.id.values(), b.mark]), answer
    assert rows_of(lite, b) == before and own_view(lite, b) == theirs


def own_view(p, t):
    told = {}
    for op, o in OPERATIONS.items():
        if o.whose == OWN and op.startswith("GET ") and "export" not in op:
            text = ask(p, op, words_for(op, t), t).text
            # Times of the moment, and links that lead to what comes after all that there is.
            text = re.sub(r'"(now|next_try_at|last_used_at|follow)": ?"[^"]*"', "", text)
            told[op] = text
    return told


@pytest.mark.parametrize("field, value", [
    ("owner", {"id": "0" * 24}), ("domains_max", 1000), ("domains_max", 0.5),
    ("project_id", "prj-1"), ("stack_id", "other")])
def test_settings_that_a_tenant_must_not_set(lite, field, value):
    before = state(lite)
    for method, body in (("PUT", {field: value}), ("PATCH", {"app": {field: value}})):
        answer = lite.call(method, f"/v1/apps/{lite.a.id['app']}", body, user="alice")
        assert answer.status == 422 and list(answer.json["errors"]) == [field], answer
    assert state(lite) == before


def test_a_taken_name_tells_nothing_of_its_holder(p):
    before = rows_of(p, p.b)
    app = f"/v1/apps/{p.a.id['app']}"
    for answer in (
            p.call("POST", "/v1/apps", {"app": {"name": p.b.name["app"]}}, user="alice"),
            p.call("POST", app + "/rename", {"current_name": p.a.name["app"],
                                             "new_name": p.b.name["app"]}, user="alice"),
            p.call("POST", app + "/domains", {"domain": {"name": p.b.name["domain"]}},
                   user="alice"),
            p.call("POST", app + "/domains", {"domain": {"name": p.b.name["domain"],
                                                         "skip_proof": True}}, user="alice"),
            p.call("PUT", f"/v2/self/applications/{p.a.id['app']}/vhosts/{p.b.name['domain']}",
                   user="alice"),
            p.call("GET", f"{app}/domains/{p.b.name['domain']}/proof", user="alice")):
        assert answer.status in (200, 400, 422), answer
        said = answer.text.replace(p.b.name["domain"], "").replace(p.b.mark, "")
        assert not any(n in said for n in [*p.b.id.values(), "bob"]), answer
    assert rows_of(p, p.b) == before


# ---- what is for operators ----

@of(OPERATOR)
def test_tenants_are_told_the_same_whatever_there_is(lite, op):
    none, before = nobody(lite.b), state(lite)
    told = {str(seen(ask(lite, op, words_for(op, t), t, user=user)))
            for t in (lite.a, lite.b, none) for user in ("alice", "bob")}
    assert len(told) == 1 and told.pop().startswith("(403,")
    assert state(lite) == before


# ---- tokens with less than their user's rights ----

@of(OWN)
def test_a_read_only_token_changes_nothing(lite, op):
    if not hasattr(lite, "reading"):
        lite.reading = lite.made("POST", "/v1/tokens", {"token": {"name": "r", "read_only": True}},
                           "alice", "token", "token")
    before = state(lite)
    answer = ask(lite, op, words_for(op, lite.a), lite.a, bearer=lite.reading)
    assert answer.status == (200 if op.startswith("GET ") else 403), answer
    assert state(lite) == before


WITHIN_ACCOUNT = {  # what a token for one app may ask for beside that app
    "GET /v1/users/self", "GET /v1/features/stacks", "GET /v1/apps", "GET /v1/domains/export",
    "GET /v1/imports", "POST /v1/imports", "GET /v2/self", "GET /v2/self/tokens/current",
    "GET /v2/summary"}


@of(OWN)
def test_a_deploy_token_knows_one_app(lite, op):
    if not hasattr(lite, "deploying"):
        lite.deploying = lite.made("POST", "/v1/tokens", {"token": {
            "name": "d", "app": lite.a.id["other-app"]}}, "alice", "token", "token")
    o, none, before = OPERATIONS[op], nobody(lite.a), state(lite)
    if "app" in o.kinds:
        at = o.kinds.index("app")
        words = words_for(op, lite.a)
        for first, second in zip(lite.a.forms("app"), none.forms("app")):
            told = [ask(lite, op, [*words[:at], word, *words[at + 1:]], lite.a, bearer=lite.deploying)
                    for word in (first, second)]
            assert seen(told[0], first) == seen(told[1], second)
            wanted = 403 if op == f"DELETE {APP}" else 404
            assert told[0].status == wanted, told[0]
    elif o.kinds == ["import"]:
        told = [ask(lite, op, [word], lite.a, bearer=lite.deploying)
                for word in (lite.a.id["import"], none.id["import"])]
        assert seen(told[0]) == seen(told[1]) and told[0].status == 404
    elif op == "POST /v1/imports":
        for word in (None, lite.a.id["app"], none.id["app"]):
            answer = lite.call("POST", "/v1/imports", {"import": {"app": word}}, bearer=lite.deploying)
            assert answer.status == 422 and list(answer.json["errors"]) == ["app"], answer
    elif op in WITHIN_ACCOUNT:
        answer = ask(lite, op, [], lite.a, bearer=lite.deploying)
        assert answer.status == 200
        for kind in ("app", "domain", "import", "webhook"):
            assert lite.a.id[kind] not in answer.text, kind
    else:
        assert ask(lite, op, words_for(op, lite.a), lite.a, bearer=lite.deploying).status == 403
    assert state(lite) == before


def test_a_reader_sees_apps_and_no_values(lite):
    """Who watches the platform needs no secrets of its tenants."""
    for path in (f"/v1/apps/{lite.b.id['app']}", f"/v1/apps/{lite.b.id['app']}/domains"):
        assert lite.call("GET", path, user="rita").status == 200
    for path in (f"/v1/apps/{lite.b.id['app']}/variables",
                 f"/v1/apps/{lite.b.id['app']}/variables?aliases=false",
                 f"/v2/self/applications/{lite.b.id['app']}/env"):
        answer = lite.call("GET", path, user="rita")
        assert answer.status == 403 and lite.b.mark not in answer.text, answer
        assert lite.b.mark in lite.call("GET", path, user="olga").text
    for path in ("/v1/webhooks", "/v1/tokens", "/v1/imports"):
        assert lite.b.mark not in lite.call("GET", path, user="rita").text


# ---- who asks ----

class Door(http.client.HTTPConnection):
    """The Unix socket, where an address of the test's choice is believed."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def call_from(p, address, method, path, authorization, body=None):
    c = Door(p.api.socket)
    fields = {"X-Real-IP": address, "Content-Type": "application/json"}
    if authorization:
        fields["Authorization"] = authorization
    c.request(method, path, body=json.dumps(body or {}), headers=fields)
    r = c.getresponse()
    answer = Answer(r.status, r.headers, r.read().decode())
    c.close()
    return answer


def part(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else
                                    json.dumps(data).encode()).rstrip(b"=").decode()


def jwt_of(header, claims, key=None):
    text = part(header) + "." + part(claims)
    if key is None:
        return text + "."
    return text + "." + part(hmac.new(key, text.encode(), hashlib.sha256).digest())


def claims_in(session):
    middle = session.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))


@pytest.fixture(scope="module")
def bad(lite):
    """Credentials that open nothing, by what is wrong with them."""
    session = lite.api.session("olga")
    claims = claims_in(session)
    head, middle, end = session.split(".")
    gone, revoked = lite.account(), lite.account()
    found = {
        "none": None, "garbage": "Bearer garbage", "nothing": "Bearer ", "unknown": "Bearer tk-us-"
        + "A" * 43, "unknown scheme": "Digest x", "alg none":
        "Bearer " + jwt_of({"alg": "none", "typ": "JWT"}, claims),
        "alg None, signed": "Bearer " + jwt_of({"alg": "None"}, claims, b"x"),
        "another key": "Bearer " + jwt_of({"alg": "HS256", "typ": "JWT"}, claims, b"k" * 32),
        "empty key": "Bearer " + jwt_of({"alg": "HS256", "typ": "JWT"}, claims, b""),
        "a key of its own": "Bearer " + jwt_of({"alg": "HS256", "jwk": {
            "kty": "oct", "k": part(b"k")}}, claims, b"k"),
        "another's claims": f"Bearer {head}.{part({**claims, 'sub': lite.b.id['user']})}.{end}",
        "cut": f"Bearer {head}.{middle}.{end[:-2]}",
        "of a removed account": "Bearer " + lite.api.session(gone),
        "token of a removed account": "Bearer " + lite.api.tokens[gone],
        "of a revoked token": "Bearer " + lite.api.session(revoked),
        "a revoked token": "Bearer " + lite.api.tokens[revoked],
        "OAuth with a revoked token": f'OAuth oauth_token="{revoked}", '
        f'oauth_signature="s%26{lite.api.tokens[revoked]}"',
        "Basic with a revoked token": "Basic " + base64.b64encode(
            f":{lite.api.tokens[revoked]}".encode()).decode(),
    }
    user = lite.call("GET", "/v1/users/self", user=gone).json["user"]["id"]
    assert lite.call("DELETE", f"/v1/users/{user}", user="olga").status == 204
    token, = lite.call("GET", "/v1/tokens", user=revoked).json["tokens"]
    assert lite.call("DELETE", f"/v1/tokens/{token['id']}", user=revoked).status == 204
    return found


@of(OWN, OPERATOR, EDGE)
def test_without_rights_nothing_is_there(lite, bad, op):
    before = state(lite)
    method, path = op.split(" ", 1)[0], path_of(op, words_for(op, lite.b))
    for n, (what, value) in enumerate(bad.items()):
        answer = call_from(lite, f"2001:db8:{secrets.token_hex(2)}:{n}::1", method, path, value,
                           given(OPERATIONS[op].body, lite.b))
        assert answer.status == 401 and answer.headers["WWW-Authenticate"], (what, answer)
        assert not any(needle in answer.text for needle in lite.b.needles() if needle not in path)
    assert state(lite) == before


@of(OWN, OPERATOR)
def test_an_edge_is_no_user(lite, op):
    if not hasattr(lite, "edge"):
        one = lite.made("POST", "/v1/edges/enrol-tokens", {}, "olga", "enrol_token", "token")
        answer = lite.call("POST", "/edge/v1/enrol", {"token": one, "name": "e1",
                                                   "public_key": EDGE_KEY})
        assert answer.status == 201
        lite.edge = lite.api.tokens["edge"] = answer.json["token"]
        assert lite.call("GET", "/edge/v1/snapshot", bearer=lite.edge).status == 200
    answer = call_from(lite, f"2001:db8:{secrets.token_hex(2)}::2", op.split(" ", 1)[0],
                       path_of(op, words_for(op, lite.b)), "Bearer " + lite.edge)
    assert answer.status == 401, answer


@of(EDGE)
def test_a_user_is_no_edge(lite, op):
    for user in ("alice", "olga", "rita"):
        for token in (lite.api.tokens[user], lite.api.session(user)):
            assert ask(lite, op, [], lite.a, bearer=token).status == 401


def test_a_session_ends(lite):
    user = lite.account()
    session = lite.api.session(user)
    for ms, status in ((59 * 60 * 1000, 200), (60 * 1000, 401)):
        lite.api.do("clock", ms=ms)
        answer = lite.call("GET", "/v1/users/self", bearer=session)
        assert answer.status == status, answer
    lite.api.do("clock", ms=-60 * 60 * 1000)


# ---- revoking, using, keeping ----

def test_revoking_counts_at_the_next_request(p):
    user = p.account()
    token = p.made("POST", "/v1/tokens", {"token": {"name": "x"}}, user, "token")
    session = p.api.exchange(token["token"]).json["token"]
    oauth = {"Authorization": f'OAuth oauth_token="{user}", oauth_signature="s%26{token["token"]}"'}
    c = http.client.HTTPConnection("127.0.0.1", p.api.port, timeout=30)  # one that stays open

    def statuses():
        c.request("GET", "/v1/users/self", headers={"Authorization": "Bearer " + session})
        kept = c.getresponse()
        kept.read()
        return [kept.status, p.call("GET", "/v1/users/self", bearer=session).status,
                p.call("GET", "/v1/users/self", bearer=token["token"]).status,
                p.call("GET", "/v2/self", headers=oauth).status,
                p.api.exchange(token["token"]).status]

    assert statuses() == [200] * 5
    assert p.call("DELETE", f"/v1/tokens/{token['id']}", user=user).status == 204
    assert statuses() == [401] * 5
    c.close()


def last_used(p, token_id):
    row, = [r for r in p.db.rows(p)["tokens"] if r["id"] == token_id]
    return int(row["last_used_at_ms"])


def test_the_last_use_is_noted_however_a_token_is_used(p):
    user = p.account()
    uses = {
        "exchange": lambda t: p.api.exchange(t),
        "session": lambda t: p.call("GET", "/v1/users/self", bearer=session),
        "bearer": lambda t: p.call("GET", "/v1/users/self", bearer=t),
        "oauth": lambda t: p.call("GET", "/v2/self", headers={
            "Authorization": f'OAuth oauth_token="{user}", oauth_signature="s%26{t}"'}),
        "refused": lambda t: p.call("GET", "/v1/apps/no-such-app", bearer=t),
    }
    for what, use in uses.items():
        token = p.made("POST", "/v1/tokens", {"token": {"name": what}}, user, "token")
        if what == "session":
            session = p.api.exchange(token["token"]).json["token"]
            p.api.do("clock", ms=120 * 1000)
        before = last_used(p, token["id"])
        assert use(token["token"]).status in (200, 404)
        if what == "session":
            p.api.do("clock", ms=-120 * 1000)
        assert last_used(p, token["id"]) > before, what
        shown = next(t for t in p.call("GET", "/v1/tokens", user=user).json["tokens"]
                     if t["id"] == token["id"])
        assert shown["last_used_at"]


def test_secrets_are_stored_nowhere_in_clear(p):
    """Tokens as hashes, the rest sealed; none of it in a log."""
    dump = json.dumps(p.db.rows(p), default=lambda b: b.decode("latin-1"))
    if hasattr(p.db, "url"):  # blobs are shown as hexadecimal digits
        dump += bytes.fromhex("".join(re.findall(r"\\\\x([0-9a-f]+)", dump))).decode("latin-1")
    secret = [v for t in (p.a, p.b) for v in t.values
              if v.startswith(("tk-", "whsec_", "value-of-"))]
    assert len(secret) == 6
    hashes = {hashlib.sha256(token.encode()).hexdigest() for token in p.api.tokens.values()}
    stored = {r["hash"] for r in p.db.rows(p)["tokens"]}
    assert hashes & stored
    for text in [*secret, *p.api.tokens.values(), "PRIVATE KEY"]:
        assert text not in dump and text not in p.api.logged(), text[:6]
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", p.api.logged() + dump)


def test_guessing_is_slowed_down_for_the_address_alone(lite):
    ways = {
        "203.0.113.1": lambda a: call_from(lite, a, "GET", "/v1/apps", "Bearer tk-us-" + "B" * 43),
        "203.0.113.2": lambda a: call_from(lite, a, "POST", "/v1/tokens/exchange",
                                           "Basic " + base64.b64encode(b":no").decode()),
        "203.0.113.3": lambda a: call_from(
            lite, a, "GET", "/v2/self", 'OAuth oauth_token="bob", oauth_signature="s%26no"'),
        "203.0.113.4": lambda a: call_from(lite, a, "POST", "/v2/certificates/new",
                                           "Basic " + base64.b64encode(b":no").decode()),
    }
    for address, guess in ways.items():
        told = [guess(address) for _ in range(12)]
        assert [t.status for t in told] == [401] * 10 + [429] * 2, address
        assert 0 < int(told[-1].headers["Retry-After"]) <= 60
        # A session is no guess; and others are not held up.
        session = "Bearer " + lite.api.session("alice")
        assert call_from(lite, address, "GET", "/v1/apps", session).status == 200
        assert call_from(lite, address + "9", "GET", "/v1/apps", "Bearer " + lite.api.tokens["alice"]
                         ).status == 200


# ---- upstreams ----

@pytest.mark.parametrize("address", [
    "127.0.0.1:80", "10.21.0.1:80", "169.254.169.254:80", "[::1]:80", "[fe80::1]:80",
    "[::ffff:10.20.0.1]:80", "[::ffff:169.254.169.254]:80", "[::10.20.0.1]:80",
    "[64:ff9b::a14:1]:80", "[fe80::1%eth0]:80", "[::1%1]:80", "10.20.0.1%1:80", "012.20.0.1:80",
    "0x0a.20.0.1:80", "10.20.0.01:80", "169148417:80", "10.20.1:80", "10.20.0.1.:80",
    "10.20.0.1 :80", " 10.20.0.1:80", "10.20.0.1:80 ", "10.20.0.1:080x", "10.20.0.1:0",
    "10.20.0.1:65536", "10.20.0.1:-1", "10.20.0.1:", "10.20.0.1", "[10.20.0.1]:80",
    "::ffff:10.20.0.1:80", "10.20.0.1/16:80", "localhost:80", "10.20.0.1:80@127.0.0.1:80",
    "１０.20.0.1:80", "10.20.0.1\r\nX: y:80", "unix:/run/x.sock", "0.0.0.0:80", "[::]:80",
    "255.255.255.255:80", "224.0.0.1:80", "a" * 59 + "é:80"])
def test_upstreams_outside_what_is_allowed(lite, address):
    before = state(lite)
    path = f"/v1/apps/{lite.a.id['app']}/upstreams"
    for n in (1, 2):
        wanted = [{"address": "10.20.0.1:80"}][:n - 1] + [{"address": address}]
        answer = lite.call("PUT", path, {"upstreams": wanted}, user="alice")
        assert answer.status == 422 and list(answer.json["errors"]) == ["address"], answer
    assert state(lite) == before


# ---- texts and numbers without an end ----

@pytest.mark.parametrize("name", ["a" * 99 + "\u00e9" * 30, "\u20ac" * 80, "x" * 253])
def test_a_long_text_is_never_cut_inside_a_character(p, name):
    user = p.account()
    made = p.made("POST", "/v1/tokens", {"token": {"name": name}}, user, "token")
    assert made["name"] == name
    assert p.call("PATCH", f"/v1/tokens/{made['id']}/renew", user=user).status == 200
    told = p.call("GET", "/v1/events?limit=3", user="olga")
    assert told.status == 200 and "\ufffd" not in told.text and name[:60] in told.text


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\x7f", "a\u009b2Jb", "\t"])
def test_names_command_no_terminal(lite, name):
    before = state(lite)
    for method, path, body, user in (
            ("POST", "/v1/tokens", {"token": {"name": name}}, "alice"),
            ("PATCH", f"/v1/tokens/{lite.a.id['token']}", {"token": {"name": name}}, "alice"),
            ("PATCH", "/v1/users/bob", {"user": {"fullname": name}}, "olga"),
            ("PATCH", "/v1/users/bob", {"user": {"email": name + "@example.com"}}, "olga")):
        answer = lite.call(method, path, body, user=user)
        assert answer.status == 422 and len(answer.json["errors"]) == 1, (path, answer)
    assert state(lite) == before


def full(answer, field):
    assert answer.status == 422 and list(answer.json["errors"]) == [field], answer
    assert "at most" in answer.text or "the most" in answer.text


def test_an_account_has_so_many_tokens(lite):
    user = lite.account()
    for n in range(499):
        lite.made("POST", "/v1/tokens", {"token": {"name": f"{n}"}}, user)
    full(lite.call("POST", "/v1/tokens", {"token": {"name": "x"}}, user=user), "tokens")
    full(lite.call("POST", f"/v1/users/{user}/tokens", {"token": {"name": "x"}}, user="olga"),
         "tokens")
    token = lite.call("GET", "/v1/tokens", user=user).json["tokens"][-1]["id"]
    assert lite.call("DELETE", f"/v1/tokens/{token}", user=user).status == 204
    lite.made("POST", "/v1/tokens", {"token": {"name": "x"}}, user)


def test_an_account_has_so_many_apps(tmp_path):
    p = Platform(tmp_path, "account.apps_max=2")
    user = p.account()
    for n in range(2):
        p.made("POST", "/v1/apps", {"app": {"name": f"app-{n}"}}, user)
    full(p.call("POST", "/v1/apps", {"app": {"name": "app-2"}}, user=user), "apps")
    full(p.call("POST", "/v1/apps", {"app": {"name": "app-2"}}, user=user,
                headers={"X-Dry-Run": "true"}), "apps")
    assert p.call("DELETE", "/v1/apps/app-0?current_name=app-0", user=user).status == 204
    p.made("POST", "/v1/apps", {"app": {"name": "app-2"}}, user)
    for n in range(3):  # an operator's are not counted
        p.made("POST", "/v1/apps", {"app": {"name": f"ours-{n}"}}, "olga")
    p.api.close()


def test_of_imports_the_last_are_kept(p):
    user, made = p.account(), []
    for _ in range(36):
        made.append(p.made("POST", "/v1/imports", {"import": {}}, user, "import", "id"))
        lines = f"/v1/imports/{made[-1]}/lines?from=1"
        assert p.call("PUT", lines, raw_body=b"no\n", user=user).status == 200
        p.made("POST", f"/v1/imports/{made[-1]}/cancel", {}, user)
    left = [i["id"] for i in p.call("GET", "/v1/imports", user=user).json["imports"]]
    assert sorted(left) == sorted(made[-31:])
    rows = p.db.rows(p)["import_refusals"]
    assert {r["import_id"] for r in rows} & set(made) == set(made[-31:])
    assert p.call("GET", f"/v1/imports/{made[0]}", user=user).status == 404


def test_variables_come_in_lists_that_end(lite):
    before, path = state(lite), f"/v1/apps/{lite.a.id['app']}/variables"
    same = [{"name": "ONE", "value": "1"}] * 201
    full(lite.call("PUT", path, {"variables": same}, user="alice"), "variables")
    full(lite.call("DELETE", path, {"variable_ids": [lite.a.id["variable"]] * 201}, user="alice"),
         "variables")
    assert lite.call("PUT", f"/v2/self/applications/{lite.a.id['app']}/env", same,
                     user="alice").status == 400
    assert state(lite) == before


def test_a_domain_has_so_many_requests(lite):
    t = lite.furnish(lite.account())
    path = f"/v1/apps/{t.id['app']}/domains/{t.id['domain']}/csr"
    for _ in range(9):
        lite.made("POST", path, {"csr": {}}, t.user)
    answer = lite.call("POST", path, {"csr": {}}, user=t.user)
    assert answer.status == 422 and list(answer.json["errors"]) == ["csr"], answer


def test_a_tenants_rsa_keys_leave_workers_to_others(tmp_path):
    p = Platform(tmp_path, "api.workers=4")
    t, other = (p.furnish(p.account()) for _ in range(2))
    path = "/v1/apps/{}/domains/{}/csr"

    def make(_):
        return p.call("POST", path.format(t.id["app"], t.id["domain"]),
                      {"csr": {"key_type": "rsa4096"}}, user=t.user)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        told = [pool.submit(make, n) for n in range(6)]
        began = time.monotonic()
        p.made("POST", path.format(other.id["app"], other.id["domain"]), {"csr": {}}, other.user)
        took = time.monotonic() - began
        answers = [one.result() for one in told]
    assert sorted({a.status for a in answers}) == [201, 429]
    for answer in answers:
        assert answer.status == 201 or answer.headers["Retry-After"] == "2"
    assert took < 2
    p.api.close()
