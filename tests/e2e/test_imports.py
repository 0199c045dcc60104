"""Import and export of many domains: what a line may be, what an import remembers, who sees it."""

import json
import threading

import pytest

from api_testd import Api
from certs import Authority

NAMES = iter(range(1, 1 << 30))


@pytest.fixture(scope="module")
def api():
    api = Api("platform.domain=platform.example", "names.any_tld=true", "app.domains_max=10000")
    yield api
    api.close()


@pytest.fixture(scope="module")
def issue(tmp_path_factory):
    """issue(name): {"tlscert", "tlskey"} of a new certificate."""
    ca = Authority(tmp_path_factory.mktemp("ca"))

    def make(name):
        cert, key = ca.leaf(name)
        return {"tlscert": cert.read_text(), "tlskey": key.read_text()}

    return make


def new_app(api, user="alice", **settings):
    answer = api.call("POST", "/v1/apps", {"app": {"name": f"bulk-{next(NAMES):05}"}}, user=user)
    assert answer.status == 201, answer
    app = answer.json["app"]
    if settings:
        answer = api.call("PATCH", f"/v1/apps/{app['id']}", {"app": settings}, user="olga")
        assert answer.status == 200, answer
    return app


def new_name():
    return f"w{next(NAMES)}.example.com"


def begin(api, user="alice", **body):
    answer = api.call("POST", "/v1/imports", {"import": body}, user=user)
    assert answer.status == 201, answer
    return answer.json["import"]


def line(app, name=None, **more):
    return {"app": app["name"], "name": name or new_name(), **more}


def text(lines):
    return b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n"
                    for one in lines)


def bring(api, one, lines, start=1, user="alice", status=200):
    answer = api.call("PUT", f"/v1/imports/{one['id']}/lines?from={start}", user=user,
                      raw_body=text(lines))
    assert answer.status == status, answer
    return answer.json["import"] if status == 200 else answer.json


def finish(api, one, user="alice"):
    answer = api.call("POST", f"/v1/imports/{one['id']}/finish", user=user)
    assert answer.status == 200, answer
    return answer.json["import"]


def run(api, lines, user="alice", **body):
    one = begin(api, user, **body)
    bring(api, one, lines, user=user)
    return finish(api, one, user)


def counts(one):
    return {key: one[key] for key in ("lines", "added", "unchanged", "refused")}


def domains(api, app, user="alice"):
    answer = api.call("GET", f"/v1/apps/{app['id']}/domains", user=user)
    assert answer.status == 200, answer
    return answer.json["domains"]


def ndjson(answer):
    assert answer.status == 200, answer
    assert not answer.text or answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(one) for one in answer.text.splitlines()]


# ---- adding ----

def test_lines_become_domains(api):
    app, other = new_app(api), new_app(api)
    lines = [line(app, letsencrypt_enabled=False), line(other, canonical=True), b"\n", b"  \r\n",
             line(app)]
    one = begin(api, lines_expected=5)
    assert one["state"] == "open" and one["next_line"] == 1 and one["refusals"] == []
    one = bring(api, one, lines)
    assert counts(one) == {"lines": 5, "added": 3, "unchanged": 0, "refused": 0}
    assert one["next_line"] == 6 and one["estimated_finish_at"] is None
    one = finish(api, one)
    assert one["state"] == "finished" and one["ended_at"]
    assert api.call("GET", f"/v1/imports/{one['id']}", user="alice").json["import"] == one
    got = domains(api, app)
    assert [d["name"] for d in got] == [lines[0]["name"], lines[4]["name"]] or len(got) == 2
    by_name = {d["name"]: d for d in got + domains(api, other)}
    assert not by_name[lines[0]["name"]]["letsencrypt_enabled"]
    assert by_name[lines[4]["name"]]["letsencrypt_enabled"]
    assert by_name[lines[1]["name"]]["canonical"]
    kinds = [e["kind"] for e in api.call("GET", f"/v1/apps/{app['id']}/events",
                                         user="alice").json["events"]]
    assert kinds.count("domain.added") == 2


def test_a_list_shows_what_one_domain_shows(api, issue):
    app = new_app(api)
    run(api, [line(app, "a.list.example", **issue("a.list.example")),
              line(app, "*.list.example", **issue("*.list.example")),
              line(app, "b.list.example"), line(app, "c.d.list.example")])
    listed = domains(api, app)
    assert len(listed) == 4
    assert sum(1 for d in listed if d["tlscert"]) == 3  # the wildcard covers b
    for d in listed:
        one = api.call("GET", f"/v1/apps/{app['id']}/domains/{d['id']}", user="alice")
        assert d == {key: one.json["domain"][key] for key in d}


def test_the_same_lines_again_change_nothing(api):
    app = new_app(api)
    lines = [line(app, canonical=k == 3, letsencrypt_enabled=k % 2 == 0) for k in range(700)]
    assert run(api, lines)["added"] == 700
    before = domains(api, app)
    assert counts(run(api, lines)) == {"lines": 700, "added": 0, "unchanged": 700, "refused": 0}
    assert counts(run(api, lines + lines)) == {"lines": 1400, "added": 0, "unchanged": 1400,
                                               "refused": 0}
    # What a line does not say is as it is.
    assert run(api, [{"app": app["id"], "name": one["name"]} for one in lines])["unchanged"] == 700
    assert domains(api, app) == before


def test_lines_count_once_however_often_they_are_sent(api):
    app = new_app(api)
    lines = [line(app) for _ in range(20)]
    one = begin(api)
    assert bring(api, one, lines[:8])["next_line"] == 9
    assert bring(api, one, lines[:8])["next_line"] == 9
    assert bring(api, one, lines[4:12], start=5)["next_line"] == 13
    assert "next line is 13" in bring(api, one, lines[15:], start=16, status=409)["error"]
    assert bring(api, one, lines[:2])["next_line"] == 13
    one = bring(api, one, lines[12:], start=13)
    assert counts(one) == {"lines": 20, "added": 20, "unchanged": 0, "refused": 0}


def test_a_last_line_needs_no_end(api):
    app = new_app(api)
    one = begin(api)
    assert bring(api, one, [line(app), text([line(app)]).rstrip()])["added"] == 2
    assert bring(api, one, [], start=3)["lines"] == 2


# ---- refusing ----

def refusal(api, bad, user="alice", **body):
    one = run(api, [bad], user, **body)
    assert counts(one) == {"lines": 1, "added": 0, "unchanged": 0, "refused": 1}, bad
    assert one["refusals"][0]["line"] == 1
    return one["refusals"][0]


def test_bad_lines_are_refused_one_by_one(api, issue):
    app, full = new_app(api), new_app(api, domains_max=1)
    cert, other = issue("x.bad.example"), issue("y.bad.example")
    run(api, [line(full), line(app, "there.example.com", letsencrypt_enabled=False),
              line(app, "first.example.com", canonical=True)])
    run(api, [line(new_app(api, "bob"), "taken.example.com")], "bob")
    cases = [
        (b"nonsense\n", None, "not JSON"),
        (b"[]\n", None, "not an object"),
        (b'{"app":"a","name":"a\0b.example"}\n', None, "not JSON"),
        (b'{"app":"a","name":"a\\u0000b.example"}\n', None, "not JSON"),
        (b'{"app":"a","name":"\xff\xfe.example"}\n', None, "not JSON"),
        (b'{"app":"a","app":"b","name":"x.example"}\n', None, "not JSON"),
        (b"\0" * 100 + b"\n", None, "not JSON"),
        (b'{"app":"a","name":"' + b"a" * 250000 + b'"}\n', None, "longer than"),
        (b"[" * 5000 + b"\n", None, "not JSON"),
        (line(app, colour="blue"), "colour", "colour"),
        (line(app, canonical="yes"), "canonical", "canonical"),
        ({"app": app["name"]}, "name", "name"),
        ({"name": new_name()}, "app", "is missing"),
        ({"app": "no-such-app", "name": new_name()}, "app", "no such app"),
        (line(app, "not a name"), "name", ""),
        (line(app, "x.osc.platform.example"), "name", "belong to the platform"),
        (line(app, "*.a.example.com", canonical=True), "canonical", "wildcard"),
        (line(app, "taken.example.com"), "name", "taken"),
        (line(app, "there.example.com", letsencrypt_enabled=True), "letsencrypt_enabled",
         "only adds"),
        (line(app, "there.example.com", canonical=True), "canonical", "only adds"),
        (line(app, canonical=True), "canonical", "first.example.com is the canonical"),
        (line(full), "domains", "1 are the most"),
        (line(app, "x.bad.example", tlscert=cert["tlscert"]), "tlskey", "key"),
        (line(app, "x.bad.example", **other), "tlscert", ""),
        (line(app, "x.bad.example", **{**cert, "tlskey": other["tlskey"]}), "tlskey", ""),
        (line(app, "x.bad.example", tlscert="nonsense", tlskey="nonsense"), "tlscert", ""),
        (line(app, "there.example.com", **issue("there.example.com")), "tlscert",
         "no certificate of its own"),
    ]
    before = domains(api, app)
    good = [line(app) for _ in cases]
    lines = [one for case, fine in zip(cases, good) for one in (case[0], fine)]
    one, got, at = begin(api), [], 0
    while at < len(lines):  # long ones need a request of their own
        n = 1 if len(text(lines[at:at + 1])) > 100000 else 2
        bring(api, one, lines[at:at + n], start=at + 1)
        at += n
    one = finish(api, one)
    assert one["added"] == len(good) and one["refused"] == len(cases)
    assert len(one["refusals"]) == 20
    got = ndjson(api.call("GET", f"/v1/imports/{one['id']}/refusals", user="alice"))
    assert len(got) == len(cases)
    assert got[:20] == one["refusals"]
    for k, ((_, field, words), told) in enumerate(zip(cases, got)):
        assert told["line"] == 2 * k + 1
        assert told["field"] == field and words in told["error"], (cases[k][0][:80], told)
    assert [d for d in domains(api, app) if d["name"] not in {g["name"] for g in good}] == before
    page = ndjson(api.call("GET", f"/v1/imports/{one['id']}/refusals?after={got[-2]['line']}",
                           user="alice"))
    assert page == got[-1:]
    assert ndjson(api.call("GET", f"/v1/imports/{one['id']}/refusals?after=99",
                           user="alice")) == []


def test_the_limit_of_an_app_counts_it_whatever_it_is_called(api):
    app = new_app(api, domains_max=5)
    names = [app["name"], app["id"]] * 4
    one = run(api, [{"app": name, "name": new_name()} for name in names])
    assert counts(one) == {"lines": 8, "added": 5, "unchanged": 0, "refused": 3}
    assert len(domains(api, app)) == 5
    assert "operator" in str(api.call("PATCH", f"/v1/apps/{app['id']}",
                                      {"app": {"domains_max": 9}}, user="alice").json)
    api.call("PATCH", f"/v1/apps/{app['id']}", {"app": {"domains_max": 9}}, user="olga")
    assert run(api, [line(app) for _ in range(8)])["added"] == 4


def test_requests_that_are_no_import(api):
    one = begin(api)
    for query in ("", "?from=", "?from=0", "?from=x"):
        assert api.call("PUT", f"/v1/imports/{one['id']}/lines{query}", user="alice",
                        raw_body=b"{}\n").status == 400
    assert api.call("GET", f"/v1/imports/{one['id']}/refusals?after=x", user="alice").status == 400
    for body in ({}, {"import": 1}, {"import": {"app": "no-such-app"}},
                 {"import": {"lines_expected": -1}}, {"import": {"dry_run": "yes"}}):
        assert api.call("POST", "/v1/imports", body, user="alice").status == 422, body
    finish(api, one)
    assert "finished" in bring(api, one, [b"{}\n"], status=409)["error"]


def test_an_account_has_a_few_open_imports(api):
    ones = [begin(api, "bob") for _ in range(5)]
    answer = api.call("POST", "/v1/imports", {"import": {}}, user="bob")
    assert answer.status == 422 and "at most 5" in str(answer.json)
    for one in ones:
        answer = api.call("POST", f"/v1/imports/{one['id']}/cancel", user="bob")
        assert answer.json["import"]["state"] == "cancelled"
    assert api.call("POST", f"/v1/imports/{ones[0]['id']}/cancel", user="bob").status == 200
    assert api.call("POST", f"/v1/imports/{ones[0]['id']}/finish", user="bob").status == 409
    finish(api, begin(api, "bob"), "bob")


def test_too_many_refused_lines_stop_an_import(api):
    one, lines = begin(api), b"x\n" * 100700
    while one["state"] == "open":
        one = bring(api, one, [lines[2 * one["lines"]:]], start=one["next_line"])
    assert one["state"] == "stopped" and "100000 lines were refused" in one["reason"]
    assert 100000 < one["refused"] == one["lines"] <= 100500
    assert "stopped" in bring(api, one, [b"x\n"], start=one["next_line"], status=409)["error"]
    assert api.call("POST", f"/v1/imports/{one['id']}/finish", user="alice").status == 409
    last = ndjson(api.call("GET", f"/v1/imports/{one['id']}/refusals?after=99999", user="alice"))
    assert last[0]["line"] == 100000 and len(last) == one["refused"] - 99999


def test_two_requests_bring_lines_at_a_time(api):
    app = new_app(api)
    ones = [begin(api) for _ in range(3)]
    api.do("block", ms=1500)
    got = []

    def send(one):
        got.append(api.call("PUT", f"/v1/imports/{one['id']}/lines?from=1", user="alice",
                            raw_body=text([line(app)])))

    threads = [threading.Thread(target=send, args=[one]) for one in ones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answer.status for answer in got) == [200, 200, 503]
    assert got[0].status == 503 and int(got[0].headers["Retry-After"]) > 0
    for one in ones:
        finish(api, one)


def test_of_two_who_bring_the_same_lines_one_is_told(api):
    app, one = new_app(api), begin(api)
    api.do("block", ms=1000)
    got = []

    def send():
        got.append(api.call("PUT", f"/v1/imports/{one['id']}/lines?from=1", user="alice",
                            raw_body=text([line(app) for _ in range(10)])))

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answer.status for answer in got) == [200, 409]
    assert finish(api, one)["added"] == 10 == len(domains(api, app))


# ---- whose ----

def test_a_tenant_has_only_its_own_apps_and_imports(api):
    mine, bobs = new_app(api), new_app(api, "bob")
    absent = refusal(api, {"app": "no-such-app", "name": new_name()})
    for app in (bobs["name"], bobs["id"]):
        told = refusal(api, {"app": app, "name": new_name()})
        assert (told["field"], told["error"]) == (absent["field"], absent["error"])
    answers = [api.call("POST", "/v1/imports", {"import": {"app": app}}, user="alice")
               for app in ("no-such-app", bobs["name"])]
    assert answers[0].status == 422 and answers[0].text == answers[1].text
    assert domains(api, bobs, "bob") == []

    one = begin(api)
    for method, path in (("GET", ""), ("GET", "/refusals"), ("PUT", "/lines?from=1"),
                         ("POST", "/finish"), ("POST", "/cancel")):
        url = f"/v1/imports/{one['id']}{path}"
        assert api.call(method, url, user="bob").status == 404, path
        none = api.call(method, url.replace(one["id"], "0" * 24), user="bob")
        assert none.status == 404
    assert one["id"] not in str(api.call("GET", "/v1/imports", user="bob").json)
    assert one["id"] in str(api.call("GET", "/v1/imports", user="alice").json)
    assert one["id"] in str(api.call("GET", "/v1/imports", user="olga").json)
    for path in ("/lines?from=1", "/finish"):
        method = "PUT" if "lines" in path else "POST"
        assert api.call(method, f"/v1/imports/{one['id']}{path}", user="rita").status in (403, 404)
    assert api.call("POST", "/v1/imports", {"import": {}}, user="rita").status == 403
    # An operator adds to everybody's.
    got = run(api, [line(mine), line(bobs)], "olga")
    assert got["added"] == 2 and len(domains(api, bobs, "bob")) == 1
    finish(api, one)


def test_an_import_for_one_app(api):
    app, other = new_app(api), new_app(api)
    lines = [{"name": new_name()}, line(app), {"app": app["id"], "name": new_name()}, line(other),
             {"app": "", "name": new_name()}]
    one = run(api, lines, app=app["name"])
    assert counts(one) == {"lines": 5, "added": 3, "unchanged": 0, "refused": 2}
    assert "not the one" in one["refusals"][0]["error"]
    assert len(domains(api, app)) == 3 and domains(api, other) == []


def test_a_token_for_one_app_imports_into_it(api):
    app, other = new_app(api), new_app(api)
    token = api.call("POST", "/v1/tokens", {"token": {"name": "deploy", "app": app["name"]}},
                     user="alice").json["token"]["token"]
    session = api.exchange(token).json["token"]

    def call(method, path, body=None, raw=None):
        return api.call(method, path, body, bearer=session, raw_body=raw)

    assert call("POST", "/v1/imports", {"import": {}}).status == 422
    assert call("POST", "/v1/imports", {"import": {"app": other["name"]}}).status == 422
    one = call("POST", "/v1/imports", {"import": {"app": app["name"]}}).json["import"]
    got = call("PUT", f"/v1/imports/{one['id']}/lines?from=1",
               raw=text([line(app), line(other)])).json["import"]
    assert got["added"] == 1 and got["refused"] == 1
    foreign = begin(api)
    assert call("GET", f"/v1/imports/{foreign['id']}").status == 404
    assert [i["id"] for i in call("GET", "/v1/imports").json["imports"]] == [one["id"]]
    assert {d["app"] for d in ndjson(call("GET", "/v1/domains/export"))} == {app["name"]}
    assert call("GET", f"/v1/domains/export?app={other['name']}").status == 404
    finish(api, one)
    finish(api, foreign)


# ---- dry runs ----

def test_a_dry_run_judges_as_the_import_will_and_changes_nothing(api, issue):
    app, other = new_app(api, domains_max=600), new_app(api)
    cert, again = issue("cert.dry.example"), issue("cert.dry.example")
    run(api, [line(app, "old.dry.example")])
    twice, main = new_name(), line(app, canonical=True)
    lines = [line(app, "old.dry.example"), line(app, "old.dry.example", canonical=True), main,
             line(app, "cert.dry.example", **cert)]
    lines += [line(app) for _ in range(520)]  # more than a transaction
    lines += [line(app, twice), line(app, twice), line(other, twice),
              line(app, twice, letsencrypt_enabled=False), main, line(app, canonical=True),
              line(app, "cert.dry.example", **cert),
              line(app, "cert.dry.example", **again), b"{\n"]
    lines += [line(app) for _ in range(100)]  # more than the app may have
    feed = api.call("GET", "/v1/health").json
    events = api.call("GET", "/v1/events?limit=1", user="olga").json
    dry = run(api, lines, dry_run=True)
    assert dry["dry_run"] and dry["state"] == "finished"
    assert len(domains(api, app)) == 1 and domains(api, other) == []
    assert api.call("GET", "/v1/events?limit=1", user="olga").json == events
    assert api.call("GET", "/v1/health").json == feed
    real = run(api, lines)
    assert counts(dry) == counts(real)
    assert real["refused"] > 10
    fields = [[(r["line"], r["field"]) for r in one["refusals"]] for one in (dry, real)]
    # Only who comes second differs: there the other app's name is taken already.
    assert fields[0] == fields[1]
    assert len(domains(api, app)) == 600


# ---- certificates ----

def test_certificates_come_along(api, issue):
    app = new_app(api)
    wild = issue("*.many.example")
    lines = [line(app, f"c{k}.many.example", letsencrypt_enabled=False, **wild)
             for k in range(230)]  # more than one reading process reads
    one, at = begin(api), 0
    while at < len(lines):
        at = bring(api, one, lines[at:at + 60], start=at + 1)["next_line"] - 1
    assert counts(finish(api, one)) == {"lines": 230, "added": 230, "unchanged": 0, "refused": 0}
    assert all(d["ssl"] and d["validity"] for d in domains(api, app))
    assert run(api, lines[:60])["unchanged"] == 60
    told = refusal(api, {**lines[0], **issue("c0.many.example")})
    assert told["field"] == "tlscert" and "another certificate" in told["error"]


# ---- export ----

def export(api, user="alice", query=""):
    lines, path, pages = [], f"/v1/domains/export?{query}", 0
    while path:
        answer = api.call("GET", path, user=user)
        lines += ndjson(answer)
        link = answer.headers["Link"]
        assert not link or link.endswith('>; rel="next"')
        path = link[link.index("/v1/"):link.index(">")] if link else None
        pages += 1
    return lines, pages


def test_an_export_is_an_import(api):
    first, second, foreign = new_app(api), new_app(api), new_app(api, "bob")
    lines = [line(first, canonical=k == 2, letsencrypt_enabled=k % 3 != 0) for k in range(40)]
    lines += [line(second, f"bücher-{next(NAMES)}.example.com")]
    lines += [line(second, f"*.w{next(NAMES)}.example.com")]
    run(api, lines)
    run(api, [line(foreign)], "bob")
    got, pages = export(api, query=f"limit=7&app={first['name']}")
    assert pages == 6 and len(got) == 40
    everything, _ = export(api, query="limit=11")
    names = [d["name"] for d in everything]
    assert len(names) == len(set(names))
    assert [d for d in everything if d["app"] == first["name"]] == got
    wanted = {d["name"]: d for d in lines}
    for d in everything:
        assert set(d) == {"app", "name", "letsencrypt_enabled", "canonical"}
        if d["name"] in wanted:
            assert {**d, **wanted[d["name"]]} == d
    assert set(wanted) <= set(names)
    assert foreign["name"] not in {d["app"] for d in everything}
    assert foreign["name"] in {d["app"] for d in export(api, "olga")[0]}
    assert foreign["name"] in {d["app"] for d in export(api, "rita")[0]}
    assert api.call("GET", f"/v1/domains/export?app={foreign['name']}", user="alice").status == 404
    # The way back: nothing to do as they are, and all of it again once they are gone.
    back = [d for d in everything if d["name"] in wanted]
    assert run(api, back)["unchanged"] == len(wanted)
    for app in (first, second):
        for d in domains(api, app):
            api.call("DELETE", f"/v1/apps/{app['id']}/domains/{d['id']}", user="alice")
    assert run(api, back)["added"] == len(wanted)
    assert [d for d in export(api)[0] if d["name"] in wanted] == sorted(
        back, key=lambda d: [e["name"] for e in export(api)[0]].index(d["name"]))


@pytest.mark.parametrize("query", [
    "after=x", "after=1.2.3", f"after={'0' * 24}.x.{'0' * 24}", f"after={'0' * 24}.1",
    f"after={'0' * 24}.1.{'0' * 24}.1", "limit=0", "limit=10001", "limit=x"])
def test_cursors_are_read_strictly(api, query):
    assert api.call("GET", f"/v1/domains/export?{query}", user="alice").status == 400


# ---- long lists ----

def test_a_list_of_20000_domains(api):
    app = new_app(api, domains_max=20000)
    names = [f"n{k}.long.example" for k in range(20000)]
    one = begin(api, app=app["name"], lines_expected=20000)
    at = 0
    while at < len(names):
        at = bring(api, one, [{"name": n} for n in names[at:at + 4000]],
                   start=at + 1)["next_line"] - 1
    one = finish(api, one)
    assert counts(one) == {"lines": 20000, "added": 20000, "unchanged": 0, "refused": 0}
    assert one["lines_per_s"] > 0
    assert {d["name"] for d in domains(api, app)} == set(names)


# ---- the command line ----

def file_of(tmp_path, lines):
    path = tmp_path / "domains.ndjson"
    path.write_bytes(text(lines))
    return str(path)


def test_cli_imports_a_file_and_standard_input(api, tmp_path):
    app = new_app(api)
    lines = [line(app, letsencrypt_enabled=False) for _ in range(6000)]  # two requests
    path = file_of(tmp_path, lines)
    dry = api.cli("domains-import", path, "--dry-run")
    assert dry.returncode == 0 and dry.stderr == ""
    assert dry.stdout == "6000 lines: 6000 would be added, 0 there already, 0 refused.\n"
    done = api.cli("domains-import", path, "--json")
    one = json.loads(done.stdout)["import"]
    assert done.returncode == 0 and one["state"] == "finished" and one["added"] == 6000
    assert one["lines_expected"] == 6000
    again = api.cli("domains-import", "-", stdin=text(lines).decode())
    assert again.stdout == "6000 lines: 0 added, 6000 there already, 0 refused.\n"
    row = api.cli("imports").stdout.splitlines()[1].split("\t")
    assert row[1] == "finished" and row[3:7] == ["6000", "6000", "0", "0"]


def test_cli_tells_the_refused_lines(api, tmp_path):
    app = new_app(api)
    bad = [line(app, "not a name") for _ in range(25)]
    done = api.cli("domains-import", file_of(tmp_path, bad[:1] + [line(app)] + bad[1:]))
    assert done.returncode == 1 and done.stdout.endswith("1 added, 0 there already, 25 refused.\n")
    told = done.stderr.splitlines()
    assert len(told) == 21 and told[0].startswith("postern: line 1: name: ")
    assert told[1].startswith("postern: line 3: name: ")
    refused = api.cli(*told[-1].split(": postern ")[1].split())
    assert refused.returncode == 0
    assert [json.loads(one)["line"] for one in refused.stdout.splitlines()] == \
        [1, *range(3, 27)]


def test_cli_sends_what_is_too_long_only_to_be_refused(api, tmp_path):
    app = new_app(api)
    lines = [line(app), b'{"app":"a","name":"' + b"x" * 3000000 + b'"}\n', line(app),
             b"y" * 250000 + b"\n", b"z" * 250000 + b"\n", text([line(app)]).rstrip()]
    done = api.cli("domains-import", file_of(tmp_path, lines))
    assert done.returncode == 1
    assert done.stdout == "6 lines: 3 added, 0 there already, 3 refused.\n"
    assert done.stderr.count("longer than") == 3


def test_cli_goes_on_where_the_server_is(api, tmp_path):
    app = new_app(api)
    lines = [line(app) for _ in range(30)]
    path = file_of(tmp_path, lines)
    one = begin(api)
    bring(api, one, lines[:17])
    short = api.cli("domains-import", file_of(tmp_path, lines[:10]), "--resume", one["id"])
    assert short.returncode == 1 and "the same file" in short.stderr
    file_of(tmp_path, lines)
    done = api.cli("domains-import", path, "--resume", one["id"])
    assert done.returncode == 0
    assert done.stdout == "30 lines: 30 added, 0 there already, 0 refused.\n"
    assert api.cli("domains-import", path, "--resume", one["id"]).stdout == done.stdout
    assert api.cli("domains-import", path, "--resume", "nothing").returncode == 1
    assert api.cli("domains-import", "/nonexistent").returncode == 1
    assert api.cli("domains-import").returncode == 2
    one = begin(api)
    done = api.cli("imports-cancel", one["id"])
    assert done.returncode == 0 and "cancelled" in done.stdout


def test_cli_exports_what_it_imports(api, tmp_path):
    app, other = new_app(api), new_app(api)
    lines = [line(app, canonical=k == 0) for k in range(5100)]  # two pages
    api.cli("domains-import", file_of(tmp_path, lines))
    out = tmp_path / "out"
    done = api.cli("domains-export", "-a", app["name"], "-o", str(out))
    assert done.returncode == 0 and done.stdout == ""
    assert sorted(one["name"] for one in map(json.loads, out.read_text().splitlines())) == \
        sorted(one["name"] for one in lines)
    printed = api.cli("domains-export", "--app", app["name"])
    assert printed.stdout == out.read_text()
    again = api.cli("domains-import", str(out), "--app", app["name"])
    assert "5100 there already" in again.stdout
    assert api.cli("domains-import", str(out), "--app", other["name"]).returncode == 1
    assert out.read_text() in api.cli("domains-export").stdout
    assert api.cli("domains-export", "-a", "nothing", "-o", str(out)).returncode == 1
    assert out.read_text() == printed.stdout and [p.name for p in tmp_path.iterdir()
                                                  if "part" in p.name] == []
