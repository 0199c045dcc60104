"""Permanent records (dns-persist-01): why one does not do, and the end that one may have."""

import subprocess
import time

import pytest

from stack import StackError, tool, wait_for

APP = "perm"
DAY = 86400
NEW = "-version" in subprocess.run([tool("pebble"), "-help"], capture_output=True, text=True).stderr
pytestmark = pytest.mark.skipif(not NEW, reason="Pebble 2.4 has no dns-persist-01")


@pytest.fixture(scope="module")
def up(shared):
    shared.app(APP)
    # What the CA takes is known from the first authorization on.
    shared.cli("domains-add", "*.first.test", app=APP)
    wait_for("the CA's offer", lambda: record_of(shared, "*.first.test"), 30)
    return shared


def record_of(up, domain):
    """(name, value) of the permanent record, as it is shown."""
    for way in up.explain(APP, domain)["domain"]["acme_options"]:
        if way["kind"] == "dns-persist-01":
            return way["record"]["name"], way["record"]["value"]
    return None


def add(up, domain, value=None):
    """With this as the record; by default the one that is shown."""
    name, shown = f"_validation-persist.{domain[2:]}", value
    if value is None or value.startswith(";"):
        shown = record_of(up, "*.first.test")[1] + (value or "")
    up.stack.dns("set-txt", host=name + ".", value=shown)
    up.cli("domains-add", domain, app=APP)


def told(up, domain, kind="domain.record-ends"):
    return [e["text"] for e in up.explain(APP, domain)["events"] if e["kind"] == kind]


def again(up):
    """The job runs when posternd starts."""
    at = len(up.stack.log("posternd"))
    up.stack.stop("posternd")
    up.stack.start("posternd")
    up.stack.wait_api()
    return at


def test_once_and_for_good(up):
    domain = "*.once.test"
    add(up, domain)
    explained = up.wait_word(APP, domain, "In use")
    assert [w["kind"] for w in explained["domain"]["acme_options"] if w["in_use"]] == \
        ["dns-persist-01"]
    assert up.https("any.once.test")[0] == 200
    assert "a permanent record ends" not in up.stack.log("posternd")


@pytest.mark.parametrize("domain, change, why", [
    ("*.policy.test", lambda v: v.replace("; policy=wildcard", ""), "lacks policy=wildcard"),
    ("*.semicolon.test", lambda v: v + ";", "a semicolon stands at the end"),
    ("*.twice.test", lambda v: v + "; policy=wildcard", '"policy" stands twice'),
    ("*.over.test", lambda v: v + "; persistUntil=1700000000", "persistUntil is over"),
    ("*.account.test", lambda v: v.replace("my-account/", "my-account/x"), "another account"),
])
def test_a_record_that_does_not_do_is_explained(up, domain, change, why):
    add(up, domain, change(record_of(up, "*.first.test")[1]))

    def explained():
        seen = up.explain(APP, domain)
        if why not in (seen["evidence"] or ""):
            raise StackError(f"{seen['word']}: {seen['evidence']}")
        return seen

    seen = wait_for("the reason", explained, 30)
    assert seen["word"] == "Action required" and seen["failures"] == 0
    assert f"the permanent record at _validation-persist.{domain[2:]} cannot be used" in \
        seen["evidence"]


def test_the_record_of_another_ca_is_no_concern(up):
    add(up, "*.stranger.test", "other.example; accounturi=https://other.example/1")

    def looked():
        seen = up.explain(APP, "*.stranger.test")["evidence"] or ""
        return seen if "name servers" in seen or "NODATA" in seen else None

    assert "permanent" not in wait_for("a look", looked, 30)


def test_its_end_is_warned_of_in_time(up):
    """30 and 7 days before, each once; not when the record was changed meanwhile."""
    now = int(time.time())
    ends = {"*.far.test": 40, "*.month.test": 20, "*.week.test": 5, "*.changed.test": 20}
    for domain, days in ends.items():
        add(up, domain, f"; persistUntil={now + days * DAY + DAY // 2}")
    for domain in ends:
        up.wait_word(APP, domain, "In use")
    host = "_validation-persist.changed.test."
    up.stack.dns("clear-txt", host=host)
    up.stack.dns("set-txt", host=host, value=record_of(up, "*.first.test")[1])
    again(up)
    wait_for("the warnings", lambda: told(up, "*.month.test") and told(up, "*.week.test"), 20)
    assert "in 20 days" in told(up, "*.month.test")[0]
    assert "in 5 days" in told(up, "*.week.test")[0]
    at = again(up)
    wait_for("the job", lambda: "posternd is ready" in up.stack.log("posternd")[at:], 10)
    time.sleep(2)
    assert [len(told(up, domain)) for domain in ends] == [0, 1, 1, 0]
