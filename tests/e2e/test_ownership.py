"""Who may hold a name: two tenants, and a DNS in which the owner makes records."""

import json
import socket
import sqlite3
import threading
import time

import pytest

from api_testd import Api
from pebble import ChallTestSrv

RECORD = "_postern-challenge."


@pytest.fixture(scope="module")
def dns():
    with ChallTestSrv(ipv4="") as server:
        yield server


@pytest.fixture
def api(dns):
    api = Api("names.any_tld=true", f"dns.resolver={dns.dns_address}", "dns.timeout=2s",
              "app.domains_max=1000")
    for user in ("alice", "bob"):
        made = api.call("POST", "/v1/apps", {"app": {"name": f"{user}s-app"}}, user=user)
        assert made.status == 201, made
    yield api
    api.close()


def add(api, user, name, as_=None, **more):
    return api.call("POST", f"/v1/apps/{user}s-app/domains", {"domain": {"name": name, **more}},
                    user=as_ or user)


def added(api, user, name, **more):
    answer = add(api, user, name, **more)
    assert answer.status == 201, answer
    return answer.json["domain"]["id"]


def remove(api, user, name):
    answer = api.call("DELETE", f"/v1/apps/{user}s-app/domains/{name}", user=user)
    assert answer.status == 204, answer


def names(api, user):
    answer = api.call("GET", f"/v1/apps/{user}s-app/domains", user=user)
    return sorted(d["name"] for d in answer.json["domains"])


def events(api, user):
    answer = api.call("GET", f"/v1/apps/{user}s-app/events", user=user)
    return [e for e in answer.json["events"]]


def kinds(api, user):
    return [e["kind"] for e in events(api, user)][::-1]


def refused(answer, taken):
    """The records of a refusal, which tells neither who has the name nor why."""
    assert answer.status == 422, answer
    text, = answer.json["errors"]["name"]
    assert text.startswith("has already been taken; " if taken else
                           "can only be added with a proof that it is yours: "), text
    proof = answer.json["proof"]
    assert proof["needed"] and not proof["seen"]
    first = proof["records"][0]
    assert first["type"] == "TXT" and first["value"].startswith("postern-proof=")
    assert f'{first["name"]} TXT "{first["value"]}"' in text
    for word in ("alice", "bob", "wildcard", "released"):
        assert word not in answer.text.replace(first["name"], "")
    return proof["records"]


def prove(dns, record, value=None):
    dns.set_txt(record["name"] + ".", value or record["value"])


# ---- names that are held ----

def test_a_held_name_is_taken_over_with_a_proof(api, dns):
    lost = added(api, "alice", "www.held.test", canonical=True)
    added(api, "alice", "other.held.test")
    api.do("cert", id=lost, seen=True)
    api.do("order", id=lost, state="validating")
    api.do("hooks")
    records = refused(add(api, "bob", "www.held.test"), taken=True)
    assert [r["name"] for r in records] == [RECORD + "www.held.test", RECORD + "held.test"]
    assert records[0]["value"] != records[1]["value"]
    prove(dns, records[0])
    answer = add(api, "bob", "www.held.test")
    assert answer.status == 201, answer
    new = answer.json["domain"]
    assert new["id"] != lost and not new["ssl"] and not new["letsencrypt"], new
    assert names(api, "alice") == ["other.held.test"] and names(api, "bob") == ["www.held.test"]
    assert api.call("GET", f"/v1/apps/alices-app/domains/{lost}", user="alice").status == 404
    assert set(api.do("hooks").split()) == {f"removed:{lost}", "added:www.held.test"}
    # Each hears of it, and nobody of the other.
    assert kinds(api, "alice")[-1] == "domain.lost"
    assert kinds(api, "bob")[-2:] == ["domain.added", "domain.claimed"]
    told = next(e for e in events(api, "alice") if e["kind"] == "domain.lost")
    assert told["actor"] == "system" and told["domain_id"] == lost and not told["request_id"]
    assert "bob" not in str(events(api, "alice")) and "alice" not in str(events(api, "bob"))
    with sqlite3.connect(f"{api.dir}/postern.db", timeout=20) as db:
        assert db.execute("SELECT count(*) FROM orders WHERE domain_id = ? AND ended_at_ms = 0",
                          (lost,)).fetchone() == (0,)
        # By the owner webhooks know whom to tell.
        assert db.execute("SELECT u.username FROM events e JOIN users u ON u.id = e.owner_id "
                          "WHERE e.kind IN ('domain.lost', 'domain.claimed') ORDER BY e.kind DESC"
                          ).fetchall() == [("alice",), ("bob",)]
    # Whoever lost it needs a proof now.
    refused(add(api, "alice", "www.held.test"), taken=True)


def test_only_the_right_value_counts(api, dns):
    added(api, "alice", "www.right.test")
    mine, at_zone = refused(add(api, "bob", "www.right.test"), taken=True)
    hers = api.call("GET", "/v1/apps/alices-app/domains/www.right.test/proof",
                    user="alice").json["proof"]["records"][0]
    assert hers["name"] == mine["name"] and hers["value"] != mine["value"]
    for wrong in (hers["value"], mine["value"][:-1], mine["value"] + "0", mine["value"].upper(),
                  '"' + mine["value"] + '"', at_zone["value"], "postern-proof="):
        prove(dns, mine, wrong)
    answer = add(api, "bob", "www.right.test")
    refused(answer, taken=True)
    assert "7 TXT records, none with this value" in answer.json["proof"]["evidence"]
    # The value of one name is not that of another.
    prove(dns, {"name": RECORD + "other.right.test"}, mine["value"])
    assert add(api, "bob", "www.right.test").status == 422
    prove(dns, mine)
    assert add(api, "bob", "www.right.test").status == 201


def test_a_proof_must_stand_at_the_name_itself(api, dns):
    added(api, "alice", "www.cname.test")
    mine, _ = refused(add(api, "bob", "www.cname.test"), taken=True)
    dns.set_cname(mine["name"] + ".", "elsewhere.test.")
    prove(dns, {"name": "elsewhere.test"}, mine["value"])
    answer = add(api, "bob", "www.cname.test")
    refused(answer, taken=True)
    assert "a CNAME, which does not count" in answer.json["proof"]["evidence"], answer


def test_a_dns_that_does_not_answer_proves_nothing(api, dns):
    added(api, "alice", "www.silent.test")
    mine, zone = refused(add(api, "bob", "www.silent.test"), taken=True)
    prove(dns, mine)
    dns.set_servfail(mine["name"] + ".")
    answer = add(api, "bob", "www.silent.test")
    refused(answer, taken=True)
    assert "SERVFAIL" in answer.json["proof"]["evidence"]
    # The other place is enough.
    prove(dns, zone)
    assert add(api, "bob", "www.silent.test").status == 201


def test_the_registered_domain_proves_all_below_it(api, dns):
    for name in ("www.zone.co.uk", "a.b.zone.co.uk", "www.other.co.uk"):
        added(api, "alice", name)
    first = refused(add(api, "bob", "www.zone.co.uk"), taken=True)
    second = refused(add(api, "bob", "a.b.zone.co.uk"), taken=True)
    assert first[1] == second[1] and first[1]["name"] == RECORD + "zone.co.uk"
    prove(dns, first[1])
    assert add(api, "bob", "www.zone.co.uk").status == 201
    assert add(api, "bob", "a.b.zone.co.uk").status == 201
    refused(add(api, "bob", "www.other.co.uk"), taken=True)


def test_names_under_a_private_suffix_are_their_own(api, dns):
    added(api, "alice", "you.github.io")
    records = refused(add(api, "bob", "you.github.io"), taken=True)
    assert [r["name"] for r in records] == [RECORD + "you.github.io"]
    # Who controls the suffix may have all of it, but what is proven for a name is not the suffix.
    prove(dns, records[0])
    suffix, = refused(add(api, "bob", "*.github.io"), taken=False)
    assert suffix["name"] == RECORD + "github.io"
    assert add(api, "bob", "you.github.io").status == 201
    refused(add(api, "alice", "*.github.io"), taken=False)
    prove(dns, suffix)
    assert add(api, "bob", "*.github.io").status == 201


def test_idn_names_are_proven_in_their_dns_form(api, dns):
    added(api, "alice", "www.bücher.test")
    mine, zone = refused(add(api, "bob", "WWW.xn--bcher-kva.test"), taken=True)
    assert mine["name"] == RECORD + "www.xn--bcher-kva.test"
    assert zone["name"] == RECORD + "xn--bcher-kva.test"
    prove(dns, zone)
    assert add(api, "bob", "www.Bücher.test").status == 201


def test_a_name_too_long_for_the_record_is_proven_at_the_zone(api, dns):
    name = ".".join(["a" * 63] * 3 + ["b" * 45, "long", "test"])
    assert len(name) == 247
    added(api, "alice", name)
    record, = refused(add(api, "bob", name), taken=True)
    assert record["name"] == RECORD + "long.test"
    prove(dns, record)
    assert add(api, "bob", name).status == 201


def test_a_name_of_ones_own_is_only_taken(api, dns):
    added(api, "alice", "www.mine.test")
    assert api.call("POST", "/v1/apps", {"app": {"name": "second"}}, user="alice").status == 201
    for app in ("alices-app", "second"):
        again = api.call("POST", f"/v1/apps/{app}/domains", {"domain": {"name": "www.mine.test"}},
                         user="alice")
        assert again.json == {"errors": {"name": ["has already been taken"]}}


# ---- wildcards ----

def test_a_wildcard_over_names_of_others(api, dns):
    added(api, "alice", "www.under.test")
    added(api, "bob", "*.other.test")
    added(api, "alice", "under.test")
    record, = refused(add(api, "bob", "*.under.test"), taken=False)
    assert record["name"] == RECORD + "under.test"
    prove(dns, record)
    assert add(api, "bob", "*.under.test").status == 201
    # Both have theirs.
    assert names(api, "alice") == ["under.test", "www.under.test"]
    assert "*.under.test" in names(api, "bob") and "domain.lost" not in kinds(api, "alice")
    assert kinds(api, "bob")[-1] == "domain.claimed"


def test_a_name_under_a_wildcard_of_another(api, dns):
    added(api, "alice", "*.over.test")
    for free in ("over.test", "a.b.over.test"):
        added(api, "bob", free)
    refused(add(api, "bob", "*.over.test"), taken=True)
    mine, zone = refused(add(api, "bob", "www.over.test"), taken=False)
    prove(dns, mine)
    assert add(api, "bob", "www.over.test").status == 201
    assert names(api, "alice") == ["*.over.test"]
    refused(add(api, "bob", "api.over.test"), taken=False)
    prove(dns, zone)
    assert add(api, "bob", "api.over.test").status == 201
    # Now the whole wildcard, too: the other one loses it.
    assert add(api, "bob", "*.over.test").status == 201
    assert names(api, "alice") == [] and kinds(api, "alice")[-1] == "domain.lost"


def test_ones_own_wildcard_needs_no_proof(api, dns):
    added(api, "alice", "*.own.test")
    added(api, "alice", "www.own.test")
    added(api, "alice", "b.two.test")
    added(api, "alice", "*.two.test")
    assert "domain.claimed" not in kinds(api, "alice")


# ---- names that were given up ----

def shift(api, days):
    with sqlite3.connect(f"{api.dir}/postern.db", timeout=20) as db:
        db.execute("UPDATE released_names SET released_at_ms = released_at_ms - ?",
                   (days * 86400000,))


def test_a_released_name_waits_thirty_days_for_others(api, dns):
    for name in ("www.gone.test", "*.wild.test"):
        added(api, "alice", name)
        remove(api, "alice", name)
    for name in ("www.gone.test", "*.gone.test", "*.wild.test", "www.wild.test"):
        refused(add(api, "bob", name), taken=False)
    added(api, "bob", "gone.test")
    added(api, "alice", "www.gone.test")  # at once, without any proof
    remove(api, "alice", "www.gone.test")
    mine, _ = refused(add(api, "bob", "www.gone.test"), taken=False)
    prove(dns, mine)
    assert add(api, "bob", "www.gone.test").status == 201
    assert kinds(api, "bob")[-2:] == ["domain.added", "domain.claimed"]
    shift(api, 29)
    refused(add(api, "bob", "www.wild.test"), taken=False)
    shift(api, 1)
    added(api, "bob", "www.wild.test")
    assert kinds(api, "bob")[-1] == "domain.added"


def test_an_app_and_an_account_that_are_gone_release_their_names(api, dns):
    made = api.call("POST", "/v1/users", {"user": {"username": "carl", "email": "c@example.com"}},
                    user="olga")
    api.tokens["carl"] = made.json["token"]
    api.call("POST", "/v1/apps", {"app": {"name": "carls-app"}}, user="carl")
    added(api, "carl", "www.carl.test")
    gone = api.call("DELETE", "/v1/apps/carls-app?current_name=carls-app", user="carl")
    assert gone.status == 204
    refused(add(api, "bob", "www.carl.test"), taken=False)
    assert api.call("DELETE", "/v1/users/carl", user="olga").status == 204
    refused(add(api, "bob", "www.carl.test"), taken=False)


def test_release_days_can_be_switched_off(dns):
    api = Api("names.any_tld=true", f"dns.resolver={dns.dns_address}", "names.release_days=0")
    try:
        for user in ("alice", "bob"):
            api.call("POST", "/v1/apps", {"app": {"name": f"{user}s-app"}}, user=user)
        added(api, "alice", "www.off.test")
        refused(add(api, "bob", "www.off.test"), taken=True)
        remove(api, "alice", "www.off.test")
        added(api, "bob", "www.off.test")
    finally:
        api.close()


# ---- operators ----

def test_an_operator_may_skip_the_proof(api, dns):
    added(api, "alice", "www.word.test")
    refused(add(api, "bob", "www.word.test", as_="olga"), taken=True)
    for who in ("alice", "bob"):
        no = add(api, who, "www.word.test", skip_proof=True)
        assert no.json["errors"] == {"skip_proof": ["only an operator may skip the proof"]}
    assert add(api, "bob", "www.word.test", as_="olga", skip_proof=True).status == 201
    claimed = events(api, "bob")[0]
    assert claimed["kind"] == "domain.claimed" and claimed["actor"] == "user:olga"
    assert "without a proof" in claimed["text"]
    assert "an operator" in events(api, "alice")[0]["text"]
    # Where nothing is to be proven there is nothing to tell.
    added(api, "bob", "www.plain.test", as_="olga", skip_proof=True)
    assert kinds(api, "bob")[-1] == "domain.added"


# ---- the record ----

def test_the_record_can_be_asked_for(api, dns):
    path = "/v1/apps/bobs-app/domains/*.ask.test/proof"
    proof = api.call("GET", path, user="bob").json["proof"]
    assert proof["name"] == "*.ask.test" and not proof["needed"] and not proof["seen"]
    record, = proof["records"]
    assert record["name"] == RECORD + "ask.test" and proof["evidence"]
    added(api, "alice", "www.ask.test")
    before = kinds(api, "bob")
    assert api.call("GET", path, user="bob").json["proof"]["needed"]
    prove(dns, record)
    assert api.call("GET", path, user="bob").json["proof"]["seen"]
    # Who asks for bob sees bob's; nothing was changed by asking.
    assert api.call("GET", path, user="olga").json["proof"]["records"] == [record]
    assert kinds(api, "bob") == before and names(api, "bob") == []
    assert api.call("GET", path, user="alice").status == 404
    bad = api.call("GET", "/v1/apps/bobs-app/domains/not_a_name/proof", user="bob")
    assert bad.status == 422 and list(bad.json["errors"]) == ["name"]


def test_the_value_outlives_the_daemon_and_differs_by_platform(api, dns):
    other = Api("names.any_tld=true")
    try:
        other.call("POST", "/v1/apps", {"app": {"name": "bobs-app"}}, user="bob")
        path = "/v1/apps/bobs-app/domains/www.key.test/proof"
        mine = api.call("GET", path, user="bob").json["proof"]
        again = api.call("GET", path, user="bob").json["proof"]
        theirs = other.call("GET", path, user="bob").json["proof"]
        assert mine["records"] == again["records"] != theirs["records"]
        assert theirs["evidence"] is None  # it has no DNS to look into
    finally:
        other.close()


def test_vhosts_of_v2_follow_the_same_rule(api, dns):
    added(api, "alice", "www.vhost.test")
    app = api.call("GET", "/v1/apps/bobs-app", user="bob").json["app"]["id"]
    path = f"/v2/self/applications/{app}/vhosts/www.vhost.test"
    no = api.call("PUT", path, user="bob")
    assert no.status == 400 and no.json["type"] == "error"
    assert no.json["message"].startswith("name: has already been taken; ")
    record = api.call("GET", "/v1/apps/bobs-app/domains/www.vhost.test/proof",
                      user="bob").json["proof"]["records"][0]
    assert record["value"] in no.json["message"]
    prove(dns, record)
    assert api.call("PUT", path, user="bob").status == 200
    assert api.call("PUT", path, user="bob").status == 200  # may be repeated
    assert names(api, "alice") == [] and names(api, "bob") == ["www.vhost.test"]


# ---- at the same moment ----

def at_once(*calls):
    answers = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(i):
        gate.wait()
        answers[i] = calls[i]()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def test_of_two_claims_at_the_same_moment_one_wins(api, dns):
    for i in range(8):
        pairs = [("www", "www"), ("www", "*"), ("*", "www")]
        for a, b in pairs:
            zone = f"race{i}-{len(a)}{len(b)}.test"
            got = at_once(lambda: add(api, "alice", f"{a}.{zone}"),
                          lambda: add(api, "bob", f"{b}.{zone}"))
            assert sorted(g.status for g in got) == [201, 422], got


def test_of_two_proofs_at_the_same_moment_one_wins(api, dns):
    api.call("POST", "/v1/apps", {"app": {"name": "olgas-app"}}, user="olga")
    for i in range(3):
        name = f"www.both{i}.test"
        added(api, "olga", name)
        for user in ("alice", "bob"):
            prove(dns, refused(add(api, user, name), taken=True)[0])
        api.do("block", ms=800)  # both have looked before the first one is stored
        got = sorted(at_once(lambda: add(api, "alice", name), lambda: add(api, "bob", name)),
                     key=lambda g: g.status)
        assert [g.status for g in got] == [201, 422], got
        assert "at this moment" in got[1].json["errors"]["name"][0]
        assert (name in names(api, "alice")) != (name in names(api, "bob"))
        assert name not in names(api, "olga")
    assert "domain.lost" not in kinds(api, "alice") + kinds(api, "bob")


def test_a_silent_dns_holds_up_only_who_asks():
    """Two look-ups of one tenant at once, each for the time of one; more must come again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        api = Api("names.any_tld=true", f"dns.resolver=127.0.0.1:{silent.getsockname()[1]}",
                  "dns.timeout=2s", "api.workers=4")
        try:
            api.call("POST", "/v1/apps", {"app": {"name": "bobs-app"}}, user="bob")
            path = "/v1/apps/bobs-app/domains/www.slow.test/proof"
            api.session("alice")
            began = time.monotonic()

            def quick():
                time.sleep(0.5)
                return api.call("GET", "/v1/apps", user="alice")
            got = at_once(quick, *[lambda: api.call("GET", path, user="bob")] * 6)
            assert 1.9 < time.monotonic() - began < 6
            assert sorted(g.status for g in got[1:]) == [200, 200, 429, 429, 429, 429], got
            assert got[0].status == 200
            for g in got[1:]:
                if g.status == 429:
                    assert g.headers["Retry-After"] == "1"
                else:
                    assert "TIMEOUT" in g.json["proof"]["evidence"]
        finally:
            api.close()


# ---- the command line ----

def test_the_command_line(api, dns):
    added(api, "alice", "www.cli.test")
    run = lambda *args, user="bob": api.cli(*args, "--app", "bobs-app", user=user)
    no = run("domains-add", "www.cli.test")
    assert no.returncode == 1 and "name has already been taken; if it is yours" in no.stderr
    asked = run("domains-proof", "www.cli.test")
    assert asked.returncode == 1 and "not there yet" in asked.stdout
    record = api.call("GET", "/v1/apps/bobs-app/domains/www.cli.test/proof",
                      user="bob").json["proof"]["records"][0]
    assert f'{record["name"]}. TXT "{record["value"]}"' in asked.stdout
    prove(dns, record)
    seen = run("domains-proof", "www.cli.test")
    assert seen.returncode == 0 and "domains-add" in seen.stdout
    assert '"seen":true' in run("domains-proof", "www.cli.test", "--json").stdout.replace(" ", "")
    assert run("domains-add", "www.cli.test").returncode == 0
    free = run("domains-proof", "free.cli.test")
    assert free.returncode == 0 and "no proof is needed" in free.stdout
    added(api, "alice", "op.cli.test")
    assert "only an operator" in run("domains-add", "--skip-proof", "op.cli.test").stderr
    assert run("domains-add", "--skip-proof", "op.cli.test", user="olga").returncode == 0


# ---- imports ----

def bring(api, user, lines, dry_run=False):
    """{line: refusal} of an import, and how many were added."""
    one = api.call("POST", "/v1/imports", {"import": {"dry_run": dry_run}}, user=user).json["import"]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    answer = api.call("PUT", f"/v1/imports/{one['id']}/lines?from=1", user=user,
                      raw_body=text.encode())
    assert answer.status == 200, answer
    done = api.call("POST", f"/v1/imports/{one['id']}/finish", user=user).json["import"]
    return {r["line"]: r for r in done["refusals"]}, done["added"]


def test_an_import_takes_no_name_from_anybody(api, dns):
    added(api, "alice", "www.bulk.test")
    prove(dns, refused(add(api, "bob", "www.bulk.test"), taken=True)[1])
    for dry_run in (True, False):
        told, n = bring(api, "bob", [{"app": "bobs-app", "name": "www.bulk.test"},
                                     {"app": "bobs-app", "name": "*.bulk.test"},
                                     {"app": "bobs-app", "name": "free.bulk.test"},
                                     {"app": "bobs-app", "name": "www.bulk.test",
                                      "skip_proof": True}], dry_run)
        assert n == 1 and sorted(told) == [1, 2, 4]
        assert told[1]["error"].startswith("has already been taken; if it is yours")
        assert told[2]["error"].startswith("can only be added with a proof")
        assert told[4]["field"] == "skip_proof"
    # An operator who moves a platform here vouches for what its customers shared there.
    lines = [{"app": "bobs-app", "name": name, "skip_proof": True}
             for name in ("*.bulk.test", "www.bulk.test")]
    told, n = bring(api, "olga", lines, dry_run=True)
    assert n == 1 and names(api, "alice") == ["www.bulk.test"]
    told, n = bring(api, "olga", lines)
    assert n == 1 and told[2]["error"] == "has already been taken"
    assert names(api, "alice") == ["www.bulk.test"]
    assert names(api, "bob") == ["*.bulk.test", "free.bulk.test"]
    assert kinds(api, "bob")[-1] == "domain.claimed" and "domain.lost" not in kinds(api, "alice")
