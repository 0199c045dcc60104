"""/metrics, and that the alert rules speak of what is there."""

import os
import re
import subprocess
import urllib.request

import pytest

from api_testd import Api
from stack import ROOT, tool

LINE = re.compile(r'^(postern_\w+)(?:\{(\w+)="((?:[^"\\]|\\.)*)"\})? (-?\d+)$')


@pytest.fixture(scope="module")
def api():
    api = Api("names.any_tld=true", "metrics.loopback=true")
    yield api
    api.close()


def figures(api, **how):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    bearer = how.get("bearer")
    c.request("GET", "/metrics", headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    if r.status != 200:
        return r.status
    assert r.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = LINE.match(line)
        assert match, line
        found[match[1], match[3]] = int(match[4])
    for name in {n for n, _ in found}:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert f"# TYPE {name} " in text or f"# TYPE {base} histogram" in text
    return found


def test_figures(api):
    app = api.call("POST", "/v1/apps", {"app": {"name": "fig"}}, user="alice").json["app"]
    ids = {}
    for name in ("dns", "new", "used", "custom", "over", "off"):
        more = {"letsencrypt_enabled": False} if name == "off" else {}
        ids[name] = api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {
            "name": f"{name}.example.com", **more}}, user="alice").json["domain"]["id"]
    api.do("domain", id=ids["new"], phase="work")
    api.do("cert", id=ids["used"], to_s=20 * 86400, seen=True)
    api.do("domain", id=ids["used"], phase="work", failures=2, problem="connection")
    api.do("cert", id=ids["custom"], origin="custom", to_s=2 * 86400)
    api.do("cert", id=ids["over"], to_s=-5, seen=True)
    api.do("order", id=ids["new"], state="validating")
    for name, method in (("*.a", "dns-01:manual"), ("*.b", "dns-01:manual"), ("*.c", "")):
        wild = api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {
            "name": f"{name}.example.com"}}, user="alice").json["domain"]["id"]
        api.do("domain", id=wild, phase="manual" if method else "blocked", acme_method=method)
    seen = figures(api)
    status = {label: n for (name, label), n in seen.items() if name == "postern_domains"}
    assert status == {"Pending DNS": 3, "Creating": 1, "In use": 1, "Disabled": 1,
                      "Action required": 3}
    waiting = {label: n for (name, label), n in seen.items() if name == "postern_domains_waiting"}
    assert waiting == {"dns-01:manual": 2, "undecided": 1}
    assert seen["postern_renewals_failing", None] == 1
    bucket = lambda days: seen["postern_certificate_expiry_seconds_bucket", str(days * 86400)]  # noqa: E731
    assert [bucket(d) for d in (0, 1, 3, 14, 30)] == [1, 1, 2, 2, 3]
    assert seen["postern_certificate_expiry_seconds_bucket", "+Inf"] == 3
    assert seen["postern_certificate_expiry_seconds_count", None] == 3
    names = [label for name, label in seen
             if name == "postern_certificate_expires_timestamp_seconds"]
    assert names == ["over.example.com", "custom.example.com", "used.example.com"]
    assert seen["postern_orders", "validating"] == 1
    assert ("postern_feed_revision", None) in seen


def test_who_sees_them(api):
    assert figures(api, bearer=api.session("alice")) == 403
    assert figures(api, bearer="tk-us-wrong") == 401
    assert figures(api, bearer=api.tokens["olga"])
    assert figures(api, bearer=api.tokens["rita"])
    closed = Api()
    assert figures(closed) == 401
    closed.close()


def test_the_alert_rules_name_what_there_is():
    text = (ROOT / "examples" / "alerts.yml").read_text()
    source = (ROOT / "src" / "api" / "metrics.c").read_text()
    for name in set(re.findall(r"postern_(\w+)", text)):
        assert f'"{name}"' in source, name


def test_each_alert_is_tested():
    rules = (ROOT / "examples" / "alerts.yml").read_text()
    tests = (ROOT / "tests" / "data" / "alerts_test.yml").read_text()
    assert set(re.findall(r"alert: (\w+)", rules)) == set(re.findall(r"alertname: (\w+)", tests))


def promtool(*args, stdin=None):
    program = tool("promtool")
    if not os.path.exists(program):
        pytest.skip("promtool is not there: make deps")
    done = subprocess.run([program, *map(str, args)], input=stdin, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alert_rules_fire_when_they_must():
    promtool("check", "rules", ROOT / "examples" / "alerts.yml")
    promtool("test", "rules", ROOT / "tests" / "data" / "alerts_test.yml")


def test_prometheus_reads_the_figures(api):
    with urllib.request.urlopen(api.url + "/metrics", timeout=10) as answer:
        promtool("check", "metrics", stdin=answer.read().decode())
