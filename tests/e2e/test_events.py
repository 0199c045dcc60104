"""The history page by page: back in time, and on with what is sealed."""

import json
import subprocess
import time

import pytest

from api_testd import Api
from stack import build_dir


@pytest.fixture(scope="module")
def api():
    api = Api("names.any_tld=true")
    yield api
    api.close()


_serial = [0]


@pytest.fixture
def app(api):
    _serial[0] += 1
    return api.call("POST", "/v1/apps", {"app": {"name": f"events-{_serial[0]:03}"}},
                    user="alice").json["app"]


def happen(api, app, n):
    for _ in range(n):
        app["force_https"] = not app["force_https"]
        answer = api.call("PUT", f"/v1/apps/{app['id']}", {"force_https": app["force_https"]},
                          user="alice")
        assert answer.status == 200


def get(api, path, user="alice", status=200):
    answer = api.call("GET", path, user=user)
    assert answer.status == status, answer
    return answer.json


def test_pages_back_in_time_are_stable(api, app):
    happen(api, app, 9)
    path = f"/v1/apps/{app['id']}/events"
    everything = [e["id"] for e in get(api, path)["events"]]
    assert len(everything) == 10
    seen, page = [], get(api, path + "?limit=4")
    while True:
        seen += [e["id"] for e in page["events"]]
        if page["next"] is None:
            break
        happen(api, app, 1)  # new events change no later page
        page = get(api, page["next"])
    assert seen == everything
    page = get(api, path + "?limit=50")
    assert page["next"] is None
    n = len(page["events"])
    last = get(api, get(api, f"{path}?limit={n}")["next"])
    assert last["events"] == [] and last["next"] is None


def test_following_what_is_sealed(api, app):
    path = f"/v1/apps/{app['id']}/events"
    happen(api, app, 3)
    api.do("seal")
    first = get(api, path + "?limit=2")
    assert [e["position"] > 0 for e in first["events"]] == [True, True]
    follow = get(api, first["follow"])
    assert follow["events"] == []
    happen(api, app, 3)
    assert get(api, follow["next"])["events"] == []  # not sealed yet: it comes, but later
    listed = get(api, path + "?limit=1")
    assert listed["events"][0]["position"] is None
    api.do("seal")
    page = get(api, follow["next"])
    assert [e["kind"] for e in page["events"]] == ["app.changed"] * 2
    page2 = get(api, page["next"])
    assert page2["next"] != follow["next"]
    positions = [e["position"] for e in page["events"] + page2["events"]]
    assert positions == sorted(positions) and len(positions) == 3
    # What was listed unsealed comes again behind its `follow`.
    assert listed["events"][0]["id"] in [e["id"] for e in get(
        api, listed["follow"].replace("limit=1", "limit=9"))["events"]]


def test_the_whole_chain_in_order(api, app):
    happen(api, app, 5)
    api.do("seal")
    seen, page = [], get(api, "/v1/events?after=0&limit=3", user="olga")
    while page["events"]:
        seen += [e["position"] for e in page["events"]]
        page = get(api, page["next"], user="olga")
    assert seen == list(range(1, len(seen) + 1))
    get(api, "/v1/events?after=0", status=403)


def test_events_of_a_domain(api, app):
    d = api.call("POST", f"/v1/apps/{app['id']}/domains",
                 {"domain": {"name": f"{app['name']}.example.com"}}, user="alice").json["domain"]
    happen(api, app, 2)
    for key in (d["id"], d["name"]):
        page = get(api, f"/v1/apps/{app['name']}/domains/{key}/events")
        assert [e["kind"] for e in page["events"]] == ["domain.added"]
        assert page["follow"].startswith(f"/v1/apps/{app['id']}/domains/{d['id']}/events?")
    api.do("seal")
    page = get(api, f"/v1/apps/{app['id']}/domains/{d['id']}/events?after=0")
    assert [e["kind"] for e in page["events"]] == ["domain.added"]
    # Its cursor has gone past what was none of its own.
    assert get(api, page["next"])["events"] == []
    get(api, f"/v1/apps/{app['id']}/domains/nobody.example.com/events", status=404)
    assert api.call("GET", f"/v1/apps/{app['id']}/domains/{d['id']}/events",
                    user="bob").status == 404


@pytest.mark.parametrize("query", ["before=0", "before=x", "before=-1", "after=-1", "after=x",
                                   "before=", "after=", "after=99999999999999999999",
                                   "before=5&after=5", "limit=501", "limit=0"])
def test_bad_cursors(api, app, query):
    assert "must" in get(api, f"/v1/apps/{app['id']}/events?{query}", status=400)["error"] or \
        "exclude" in get(api, f"/v1/apps/{app['id']}/events?{query}", status=400)["error"]


def test_cli_pages_and_follows(api, app):
    happen(api, app, 3)
    done = api.cli("events", "-a", app["name"], "--limit", "2")
    assert len(done.stdout.splitlines()) == 2
    before = len(json.loads(api.cli("events", "-n", "100000", "--json", user="olga").stdout)
                 ["events"])
    happen(api, app, 500 - min(before, 500) + 20)
    everything = json.loads(api.cli("events", "-n", "100000", "--json", user="olga").stdout)
    ids = [e["id"] for e in everything["events"]]
    assert len(ids) > 510 and len(set(ids)) == len(ids)
    assert api.cli("events", "-n", "0", user="olga").returncode == 2
    assert api.cli("events", "www.example.com", user="olga").returncode == 2
    d = api.call("POST", f"/v1/apps/{app['id']}/domains",
                 {"domain": {"name": f"{app['name']}.example.com"}}, user="alice").json["domain"]
    assert "domain.added" in api.cli("events", "-a", app["name"], d["name"]).stdout
    follower = subprocess.Popen(
        [build_dir() / "src" / "postern", "events", "-a", app["name"], "--follow", "-n", "1",
         "--json"], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL,
        env={"POSTERN_URL": api.url, "POSTERN_TOKEN": api.tokens["alice"], "HOME": api.dir})
    try:
        told = [json.loads(follower.stdout.readline())]
        assert told[0]["kind"] == "domain.added"
        api.do("seal")
        happen(api, app, 1)
        happen(api, app, 1)
        api.do("seal")
        told += [json.loads(follower.stdout.readline()) for _ in range(2)]
        assert len({e["id"] for e in told}) == 3
        assert [e["kind"] for e in told] == ["domain.added", "app.changed", "app.changed"]
        time.sleep(0.1)
    finally:
        follower.terminate()
        follower.wait(timeout=10)
        follower.stdout.close()
