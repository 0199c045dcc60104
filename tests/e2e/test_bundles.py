"""Bundles of key and certificates, kept for domains added later."""

import json
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from api_testd import Api
from certs import Authority, openssl
from stack import wait_for

DAY = 86400
_serial = [0]


def new(kind):
    _serial[0] += 1
    return f"{kind}-{_serial[0]:04}"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def api():
    api = Api("names.any_tld=true")
    yield api
    api.close()


def pem(ca, *names, **more):
    """Key, certificate and issuer in one text."""
    cert, key = ca.leaf(names[0], names=names, **more)
    return key.read_text() + cert.read_text()


def send(api, text, user="alice", status=201):
    answer = api.call("POST", "/v2/certificates/new", raw_body=text, user=user)
    assert answer.status == status, answer
    return answer.json["message"]


def kept(api, user="alice"):
    return api.call("GET", "/v1/bundles", user=user).json["bundles"]


def make_app(api, user="alice"):
    return api.call("POST", "/v1/apps", {"app": {"name": new("app")}}, user=user).json["app"]["id"]


def add(api, app, name, user="alice", **more):
    answer = api.call("POST", f"/v1/apps/{app}/domains", {"domain": {"name": name, **more}},
                      user=user)
    assert answer.status == 201, answer
    return answer.json["domain"]


def events(api, app, user="alice"):
    return [e["kind"] for e in api.call("GET", f"/v1/apps/{app}/events", user=user).json["events"]]


# ---- keeping and listing ----

def test_life_of_a_bundle(api, ca):
    text = pem(ca, "a.kept.example", "*.kept.example", subject="/CN=a.kept.example")
    said = send(api, text)
    assert "none of its names yet" in said and "a.kept.example, *.kept.example." in said
    [b] = kept(api)
    assert b["names"] == ["a.kept.example", "*.kept.example"] and b["domains"] == 0
    assert b["subject"] == "/CN=a.kept.example" and b["key_type"] == "p256"
    assert len(b["sha256"]) == 64 and b["not_after"] > b["not_before"]
    [v2] = api.call("GET", "/v2/certificates", user="alice").json
    assert v2["id"] == b["id"] and v2["names"] == b["names"] and v2["expirationDate"] > 10 ** 12
    for path in ("/v1/bundles", "/v2/certificates"):
        assert "PRIVATE" not in api.call("GET", path, user="alice").text
    # The same once more is one.
    send(api, text)
    assert [k["id"] for k in kept(api)] == [b["id"]]
    assert "a.kept.example" in api.cli("bundles").stdout
    assert json.loads(api.cli("bundles", "--json").stdout)["bundles"] == kept(api)
    done = api.cli("bundles-remove", b["id"])
    assert done.returncode == 0 and "kept no longer" in done.stdout
    assert kept(api) == [] and api.cli("bundles-remove", b["id"]).returncode == 1
    send(api, text)
    [b] = kept(api)
    answer = api.call("DELETE", f"/v2/certificates/{b['id']}", user="alice")
    assert answer.status == 200 and answer.json["type"] == "success" and kept(api) == []
    answer = api.call("DELETE", f"/v2/certificates/{b['id']}", user="alice")
    assert answer.status == 404 and answer.json["type"] == "error"


def test_many_names_are_shortened_in_the_answer(api, ca):
    names = [f"n{i}.many.example" for i in range(30)]
    assert send(api, pem(ca, *names)).endswith("n19.many.example and 10 more.")
    assert kept(api)[0]["names"] == names


def test_whose_they_are(api, ca):
    send(api, pem(ca, "*.alices.example"))
    [b] = kept(api)
    absent = "0" * 24
    for user in ("bob", "olga", "rita"):
        assert kept(api, user) == []
        assert api.call("GET", "/v2/certificates", user=user).json == []
    for path in ("/v1/bundles", "/v2/certificates"):
        foreign = api.call("DELETE", f"{path}/{b['id']}", user="bob")
        assert (foreign.status, foreign.text) == (
            404, api.call("DELETE", f"{path}/{absent}", user="bob").text)
        assert api.call("DELETE", f"{path}/{b['id']}", user="rita").status == 403
    # On nobody else's domains, an operator's included; but on hers whoever adds them.
    for user in ("bob", "olga"):
        assert add(api, make_app(api, user), f"{user}.alices.example", user)["ssl"] is False
    app = make_app(api)
    assert add(api, app, "by-operator.alices.example", "olga", skip_proof=True)["ssl"] is True
    assert [k["domains"] for k in kept(api)] == [1]


def test_a_dry_run_removes_nothing(api, ca):
    send(api, pem(ca, "dry.example"))
    [b] = kept(api)
    api.call("DELETE", f"/v1/bundles/{b['id']}", user="alice", headers={"X-Dry-Run": "true"})
    assert kept(api) == [b]


def test_there_is_an_end_to_their_number(api, ca):
    """The rows are made by hand: a hundred certificates would take a minute."""
    send(api, pem(ca, "full.example"))
    [b] = kept(api)
    db = sqlite3.connect(f"{api.dir}/postern.db", timeout=20)
    columns = [row[1] for row in db.execute("PRAGMA table_info(bundles)")]
    for i in range(99):
        picked = [f"'{i:024x}'" if c == "id" else f"'{i:064x}'" if c == "sha256" else c
                  for c in columns]
        db.execute(f"INSERT INTO bundles SELECT {','.join(picked)} FROM bundles WHERE id = ?",
                   (b["id"],))
    db.commit()
    db.close()
    app = make_app(api)
    add(api, app, "more.example")
    more = pem(ca, "more.example")
    assert "100 are the most" in send(api, more, status=400)
    # A refusal changes nothing; what is kept may come again.
    assert api.call("GET", f"/v1/apps/{app}/domains", user="alice").json["domains"][0]["ssl"] is False
    api.call("DELETE", f"/v1/bundles/{0:024x}", user="alice")
    assert "installed for 1" in send(api, more)
    assert "installed for 1" in send(api, more)
    assert len(kept(api)) == 100


# ---- using ----

def test_domains_added_later_get_it(api, ca):
    app = make_app(api)
    send(api, pem(ca, "*.later.example", subject="/CN=wild"))
    one = add(api, app, "one.later.example")
    assert one["ssl"] is True and one["tlscert"] == "/CN=wild"
    assert events(api, app)[:2] == ["certificate.from-bundle", "domain.added"]
    assert add(api, app, "deep.one.later.example")["ssl"] is False
    assert add(api, app, "later.example")["ssl"] is False
    # Of Clever Cloud's tools, too, and of an import.
    me = api.call("GET", "/v2/summary", user="alice").json["user"]
    v2 = next(a["id"] for a in me["applications"])
    base = f"/v2/organisations/{me['id']}/applications/{v2}/vhosts"
    assert api.call("PUT", f"{base}/two.later.example", raw_body="", user="alice").status == 200
    job = api.call("POST", "/v1/imports", {"import": {"app": app}}, user="alice").json["import"]
    lines = "".join(json.dumps({"name": f"{n}.later.example"}) + "\n" for n in ("three", "four"))
    done = api.call("PUT", f"/v1/imports/{job['id']}/lines?from=1", raw_body=lines, user="alice")
    assert done.json["import"]["added"] == 2, done
    seen = api.call("GET", f"/v1/apps/{app}/domains", user="alice").json["domains"]
    assert {d["name"].split(".")[0] for d in seen if d["ssl"]} == {"one", "two", "three", "four"}
    # All share one certificate.
    assert [k["domains"] for k in kept(api)] == [4]
    # Whoever takes it away gets none back.
    path = f"/v1/apps/{app}/domains/{one['id']}"
    gone = api.call("PATCH", path, {"domain": {"tlscert": "", "tlskey": ""}}, user="alice").json
    assert gone["domain"]["ssl"] is False
    assert api.call("PATCH", path, {"domain": {"canonical": True}}, user="alice").json[
        "domain"]["ssl"] is False
    # Added anew, it is a new domain.
    assert api.call("DELETE", path, user="alice").status == 204
    assert add(api, app, "one.later.example")["ssl"] is True


def test_which_of_several(api, ca):
    app = make_app(api)
    for cn, name, days in (("wild", "*.several.example", 90), ("short", "a.several.example", 5),
                          ("long", "a.several.example", 9), ("b", "b.several.example", 7)):
        send(api, pem(ca, name, subject=f"/CN={cn}", seconds=days * DAY))
    assert add(api, app, "a.several.example")["tlscert"] == "/CN=long"
    assert add(api, app, "b.several.example")["tlscert"] == "/CN=b"
    assert add(api, app, "c.several.example")["tlscert"] == "/CN=wild"
    assert add(api, app, "*.several.example")["tlscert"] == "/CN=wild"
    # Its own certificate is its own.
    cert, key = ca.leaf("d.several.example", subject="/CN=own")
    own = add(api, app, "d.several.example", tlscert=cert.read_text(), tlskey=key.read_text())
    assert own["tlscert"] == "/CN=own"


def test_only_while_it_is_valid(api, ca):
    app = make_app(api)
    send(api, pem(ca, "*.ends.example", seconds=4))
    end = time.time() + 4
    assert add(api, app, "before.ends.example")["ssl"] is True
    wait_for("its end", lambda: time.time() > end + 1.5)
    assert add(api, app, "after.ends.example")["ssl"] is False


def test_no_key_material_is_in_the_database(api, ca):
    cert, key = ca.leaf("sealed.example")
    send(api, key.read_text() + cert.read_text())
    add(api, make_app(api), "sealed.example")
    openssl("pkey", "-in", key, "-outform", "DER", "-out", ca.dir / "sealed.der")
    der = (ca.dir / "sealed.der").read_bytes()
    secret = der[7:39]  # the private number of a P-256 key (RFC 5915)
    assert der[2:7] == b"\x02\x01\x01\x04\x20"
    files = [f.read_bytes() for f in Path(api.dir).glob("postern.db*")]
    assert files and not any(secret in f for f in files)
    assert not any(line in api.logged() for line in key.read_text().splitlines()[1:-1])


def test_a_removed_bundle_is_used_no_more(api, ca):
    app = make_app(api)
    send(api, pem(ca, "*.gone.example"))
    assert add(api, app, "a.gone.example")["ssl"] is True
    api.call("DELETE", f"/v1/bundles/{kept(api)[0]['id']}", user="alice")
    assert add(api, app, "b.gone.example")["ssl"] is False
    seen = api.call("GET", f"/v1/apps/{app}/domains", user="alice").json["domains"]
    assert {d["name"]: d["ssl"] for d in seen} == {"a.gone.example": True, "b.gone.example": False}


# ---- served, on both databases ----

def test_nothing_is_lost_between_an_upload_and_a_new_domain(system, ca):
    """Whichever of the two is first, the domain has the certificate in the end."""
    app = system.app("bundle-race")
    for i in range(8):
        cert, key = ca.leaf(f"*.race{i}.test")
        text = key.read_text() + cert.read_text()
        both = [threading.Thread(target=system.stack.call, args=args) for args in (
            ("POST", "/v2/certificates/new", {"pem": text}),
            ("POST", f"/v1/apps/{app}/domains",
             {"domain": {"name": f"www.race{i}.test", "letsencrypt_enabled": False}}))]
        for thread in both[::1 if i % 2 else -1]:
            thread.start()
            time.sleep(0.03 * (i % 3))
        for thread in both:
            thread.join()
        [d] = [d for d in system.stack.call("GET", f"/v1/apps/{app}/domains")["domains"]
               if d["name"] == f"www.race{i}.test"]
        assert d["ssl"] is True, i
    for b in system.stack.call("GET", "/v1/bundles")["bundles"]:
        system.cli("bundles-remove", b["id"])


def test_what_is_over_is_swept(system, ca):
    cert, key = ca.leaf("*.swept.test", seconds=4)
    end = time.time() + 4
    system.stack.call("POST", "/v2/certificates/new", {"pem": key.read_text() + cert.read_text()})
    assert "swept.test" in system.cli("bundles")
    wait_for("its end", lambda: time.time() > end + 1.5)
    # The job runs at the start, then every hour.
    system.stack.stop("posternd")
    system.stack.start("posternd")
    wait_for("the sweep", lambda: system.stack.sql("SELECT count(*) FROM bundles") == ["0"])
    assert system.stack.sql("SELECT count(*) FROM bundle_names") == ["0"]
    assert system.stack.sql("SELECT count(*) FROM bundle_issuers") == ["0"]


def test_an_edge_serves_it_when_the_domain_is_added(system, ca):
    app = system.app("bundles")
    cert, key = ca.leaf("*.bundled.test")
    served = ca.der(cert)
    text = key.read_text() + cert.read_text()
    said = system.stack.call("POST", "/v2/certificates/new", {"pem": text})
    assert said["type"] == "success" and "*.bundled.test" in said["message"]
    for name in ("one.bundled.test", "two.bundled.test"):
        system.cli("domains-add", "--no-letsencrypt", name, app=app)
        assert system.leaf(name) == served
    assert "*.bundled.test" in system.cli("bundles")
    system.cli("domains-ssl", "one.bundled.test", "disable", app=app)
    assert system.leaf("one.bundled.test") != served
    assert system.leaf("two.bundled.test") == served
    kinds = [e["kind"] for e in system.explain(app, "two.bundled.test")["events"]]
    assert "certificate.from-bundle" in kinds
    system.cli("bundles-remove", system.stack.call("GET", "/v1/bundles")["bundles"][0]["id"])
    assert system.leaf("two.bundled.test") == served
