"""kill -9 of posternd at every step of an order: it ends in a served certificate all the same."""

import re
from pathlib import Path

import pytest

from stack import ROOT, wait_for

APP = "crash"
MACHINE = (ROOT / "src" / "order" / "machine.c").read_text()
# Those of the lane of the DNS belong to wildcards (test_dns01.py).
STATES = re.findall(r'\{"(\w+)", pst_step_\w+, CA,', MACHINE)


@pytest.fixture(scope="module")
def up(shared):
    shared.app(APP)
    return shared


def test_the_table_of_states_was_found():
    assert STATES[0] == "checking" and "deploying" in STATES and len(STATES) >= 10


@pytest.mark.parametrize("point", ["exchanged", "saved"])
@pytest.mark.parametrize("state", STATES)
def test_killed_at(up, state, point):
    stack = up.stack
    name = f"{state}-{point}.crash.test"
    up.point(name)
    stack.stop("posternd")
    before = up.orders_at_ca()

    stack.start("posternd", env={"POSTERN_TEST_KILL_AT": f"{state}/{point}"})
    wait_for("posternd", lambda: stack.get(up.env["POSTERN_URL"] + "/v1/health"), 30)
    up.cli("domains-add", name, app=APP)
    wait_for(f"its death at {state}/{point}", lambda: not stack.running("posternd"), 30)

    stack.start("posternd")
    stack.wait_api()
    up.wait_word(APP, name, "In use")
    assert up.https(name)[0] == 200
    seen = up.explain(APP, name)
    assert seen["failures"] == 0
    # One order, and at most one more if the first one's URL could not be stored.
    once_more = state == "ordering" and point == "exchanged"
    assert up.orders_at_ca() - before <= (2 if once_more else 1)


def test_no_key_was_used_that_was_not_stored(up):
    """Each certificate served is in the database with the key that the order had stored."""
    assert Path(up.stack.dir / "postern.db").exists()
    for state in STATES:
        assert up.https(f"{state}-saved.crash.test")[0] == 200
