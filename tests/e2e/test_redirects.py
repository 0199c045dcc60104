"""Force HTTPS and canonical domain, from the command line to the browser, on the whole system."""

import pytest

from client import Failed
from stack import wait_for

APP = "redirects"
HSTS = "Strict-Transport-Security"
WWW, OLD, LATE = "www.redirects.test", "old.redirects.test", "late.redirects.test"


@pytest.fixture(scope="module")
def app(shared):
    shared.app(APP)
    shared.add(APP, WWW)
    shared.add(APP, OLD)
    return APP


@pytest.fixture
def forced(shared, app):
    shared.cli("force-https", "--enable", app=app)
    wait_for("force HTTPS", lambda: shared.http(WWW)[0] == 301, 5)
    yield
    shared.cli("force-https", "--disable", app=app)
    wait_for("its end", lambda: shared.http(WWW)[0] == 200, 5)


@pytest.fixture
def canonical(shared, app):
    shared.cli("set-canonical-domain", WWW, app=app)
    wait_for("the canonical domain", lambda: shared.http(OLD)[0] == 301, 5)
    yield
    shared.cli("unset-canonical-domain", app=app)
    wait_for("its end", lambda: shared.http(OLD)[0] == 200, 5)


def port(shared, scheme):
    return shared.env[f"EDGE_{scheme}_1"].rsplit(":", 1)[1]


def platform_name(shared):
    return f"{APP}.{shared.env['REGION']}.{shared.env['PLATFORM_DOMAIN']}"


def test_nothing_redirects_at_first(shared, app):
    for name in (WWW, OLD, platform_name(shared)):
        assert shared.http(name)[0] == 200
    status, headers, _ = shared.https(WWW)
    assert status == 200 and HSTS not in headers


def test_force_https(shared, forced):
    https = port(shared, "HTTPS")
    for name in (WWW, OLD, platform_name(shared)):
        status, headers, _ = shared.http(name, "/a%20b?c=d&e")
        assert (status, headers["Location"]) == (301, f"https://{name}:{https}/a%20b?c=d&e")
    status, headers, _ = shared.https(WWW)
    assert status == 200 and headers[HSTS] == "max-age=31536000"
    assert shared.http(WWW, "/.well-known/acme-challenge/test")[0] == 200


def test_a_new_domain_is_not_forced_before_its_certificate(shared, forced):
    """And gets it although its app forces HTTPS: challenges come first."""
    shared.cli("domains-add", LATE, app=APP)
    wait_for("its route", lambda: shared.http(LATE)[0] == 200, 5)
    shared.point(LATE)
    shared.wait_word(APP, LATE, "In use")
    wait_for("its redirect", lambda: shared.http(LATE)[0] == 301, 5)
    shared.cli("domains-remove", LATE, app=APP)


def test_canonical_domain(shared, canonical):
    http, https = port(shared, "HTTP"), port(shared, "HTTPS")
    for name in (OLD, platform_name(shared)):
        status, headers, _ = shared.http(name, "/a?b=c")
        assert (status, headers["Location"]) == (301, f"http://{WWW}:{http}/a?b=c")
    status, headers, _ = shared.https(OLD, "/a?b=c", method="POST")
    assert (status, headers["Location"]) == (301, f"https://{WWW}:{https}/a?b=c")
    assert shared.http(WWW)[0] == shared.https(WWW)[0] == 200
    assert shared.https(OLD)[1].get(HSTS) is None


def test_both_are_one_step(shared, canonical, forced):
    status, headers, _ = shared.http(OLD, "/x")
    assert (status, headers["Location"]) == (301, f"https://{WWW}:{port(shared, 'HTTPS')}/x")
    assert HSTS in shared.https(OLD)[1]


def test_a_canonical_domain_that_is_not_served_is_waited_for(shared, canonical):
    name = "soon.redirects.test"
    shared.cli("domains-add", name, "--canonical", app=APP)
    wait_for("the end of the old one", lambda: shared.http(OLD)[0] == 200, 5)
    assert shared.http(WWW)[0] == 200
    shared.point(name)
    shared.wait_word(APP, name, "In use")
    wait_for("the new one", lambda: shared.http(WWW, "/y")[1].get("Location") ==
             f"http://{name}:{port(shared, 'HTTP')}/y", 5)
    # When it is removed the others stand for themselves again.
    shared.cli("domains-remove", name, app=APP)
    wait_for("its end", lambda: shared.http(WWW)[0] == 200, 5)
    shared.cli("set-canonical-domain", WWW, app=APP)


def test_a_wildcard_cannot_be_canonical(shared, app):
    with pytest.raises(Failed, match="wildcard"):
        shared.cli("domains-add", "*.wild.redirects.test", "--canonical", app=app)
