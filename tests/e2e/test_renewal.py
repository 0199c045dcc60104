"""Two renewals of a certificate of 120 seconds, through the same machine as the first issue.

The system was started with the session (conftest.py), so most of the time has passed already.
"""

import time

from client import Client
from stack import wait_for

NAME = "short.renew.test"


def issued(client: Client):
    events = client.explain("renew", NAME)["events"]
    return sum(e["kind"] == "certificate.issued" for e in events)


def test_two_renewals_without_a_gap(short_lived):
    client = short_lived
    client.wait_https(NAME)
    seen = {client.sha256(NAME)}
    end = time.monotonic() + 200

    # Every handshake is verified, expiry included.
    while issued(client) < 3:
        assert time.monotonic() < end, "not renewed twice within 200 s"
        assert client.https(NAME)[0] == 200
        seen.add(client.sha256(NAME))
        time.sleep(1)
    client.wait_word("renew", NAME, "In use")
    explained = client.explain("renew", NAME)
    assert explained["word"] == "In use" and explained["failures"] == 0
    assert client.orders_at_ca() == issued(client)
    wait_for("the newest certificate", lambda: client.sha256(NAME) == latest(client))


def latest(client):
    """The leaf on the ladder's ACME step."""
    ladder = client.explain("renew", NAME)["ladder"]
    return next(s["certificate"]["sha256"] for s in ladder if s["origin"] == "acme")
