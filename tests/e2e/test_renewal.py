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
    wait_for("the third certificate", lambda: client.sha256(NAME) not in seen or len(seen) >= 2)
    explained = client.explain("renew", NAME)
    assert explained["word"] == "In use" and explained["failures"] == 0
    assert client.orders_at_ca() == 3
