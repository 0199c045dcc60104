"""Imports on the whole system, on both databases: posternd or its sender dies in the middle."""

import json
import os
import signal
import subprocess

import pytest

from certs import Authority
from stack import wait_for

LINES = 6000


@pytest.fixture(scope="module")
def up(system):
    system.app("bulk")
    system.app("bulk-2")
    for app in ("bulk", "bulk-2"):
        system.stack.call("PATCH", f"/v1/apps/{app}", {"app": {"domains_max": 100000}})
    return system


def write(up, name, lines):
    path = up.stack.dir / f"{name}.ndjson"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def names(prefix, app="bulk", n=LINES):
    return [{"app": app, "name": f"{prefix}{k}.bulk.test", "letsencrypt_enabled": False}
            for k in range(n)]


def begin(up, *args):
    env = {**os.environ, "POSTERN_URL": up.env["POSTERN_URL"],
           "POSTERN_TOKEN": up.env["POSTERN_TOKEN"], "HOME": str(up.stack.dir)}
    return subprocess.Popen([up.env["POSTERN_CLI"], "domains-import", *map(str, args)], env=env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            stdin=subprocess.PIPE)


def newest(up):
    return up.stack.call("GET", "/v1/imports")["imports"][0]


def exported(up, app):
    return [json.loads(one) for one in up.cli("domains-export", app=app).splitlines()]


def test_posternd_dies_in_the_middle(up):
    n = 3 * LINES
    lines = names("killed", n=n)
    client = begin(up, write(up, "killed", lines))
    wait_for("some lines", lambda: up.stack.call("GET", "/v1/imports")["imports"] and
             0 < newest(up)["lines"] < n)
    up.stack.stop("posternd", signal.SIGKILL)
    up.stack.start("posternd")
    up.stack.wait_api()
    out, err = client.communicate(timeout=100)
    assert client.returncode == 0, err
    assert out == f"{n} lines: {n} added, 0 there already, 0 refused.\n"
    assert sorted(d["name"] for d in exported(up, "bulk")) == sorted(d["name"] for d in lines)
    events = up.stack.call("GET", "/v1/apps/bulk/events?limit=500")["events"]
    assert len({e["domain_id"] for e in events}) == 500


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_sender_dies_in_the_middle(up, how):
    path = write(up, "sender", names(f"sender-{how.name.lower()}-"))
    lines = path.read_text().splitlines(keepends=True)
    client = begin(up, "-")
    client.stdin.write("".join(lines[:5000]))  # more than one request, and then it waits
    client.stdin.flush()
    one = wait_for("some lines", lambda: newest(up)["state"] == "open" and
                   newest(up)["lines"] > 0 and newest(up))
    client.send_signal(how)
    _, err = client.communicate(timeout=20)
    if how == signal.SIGKILL:
        assert client.returncode == -how
    else:
        assert client.returncode == 130 and f"--resume {one['id']} -" in err
    one = newest(up)
    assert one["state"] == "open" and one["lines"] < LINES
    done = up.cli("domains-import", path, "--resume", one["id"])
    assert done == f"{LINES} lines: {LINES} added, 0 there already, 0 refused.\n"
    assert f"0 added, {LINES} there already" in up.cli("domains-import", path)


def test_what_was_imported_is_served(up, tmp_path):
    ca = Authority(tmp_path / "ca")
    cert, key = ca.leaf("*.served.test")
    lines = [{"app": "bulk-2", "name": f"n{k}.served.test", "letsencrypt_enabled": False,
              "tlscert": cert.read_text(), "tlskey": key.read_text()} for k in range(120)]
    path = write(up, "served", lines)
    assert "120 would be added" in up.cli("domains-import", path, "--dry-run")
    assert exported(up, "bulk-2") == []
    assert "120 added" in up.cli("domains-import", path)
    wait_for("the edge", lambda: up.leaf("n119.served.test") == ca.der(cert))
    assert up.leaf("n0.served.test") == ca.der(cert)
    assert "120 there already" in up.cli("domains-import", path)
    got = sorted(exported(up, "bulk-2"), key=lambda d: d["name"])
    assert got == [{"app": "bulk-2", "name": d["name"], "letsencrypt_enabled": False,
                    "canonical": False} for d in sorted(lines, key=lambda d: d["name"])]


def test_dns_is_watched_for_what_was_imported(up):
    up.point("watched.bulk.test")
    path = write(up, "watched", [{"app": "bulk", "name": "watched.bulk.test"}])
    assert "1 added" in up.cli("domains-import", path)
    up.wait_word("bulk", "watched.bulk.test", "In use")
