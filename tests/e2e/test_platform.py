"""The platform's own wildcard: a local CA until the operator gives files; files are picked up."""

import os
import signal
import subprocess

import pytest

from stack import openssl, wait_for

APP = "plat"


@pytest.fixture(scope="module")
def system(request):
    import conftest
    client = conftest._make()
    d = client.stack.dir
    client.stack.stop("posternd")
    with open(d / "postern.conf", "a") as f:
        f.write(f"platform.cert_file = {d}/wild.pem\nplatform.key_file = {d}/wild.key\n")
    client.app_name = f"{APP}.{client.env['REGION']}.{client.env['PLATFORM_DOMAIN']}"
    yield client
    conftest._end(client, request)


def make_pair(client, common_name, sans, days=90):
    d = client.stack.dir
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", d / "wild.key.new", "-out", d / "wild.pem", "-days", days, "-subj",
            f"/CN={common_name}", "-addext", f"subjectAltName={sans}")
    os.chmod(d / "wild.key.new", 0o600)
    os.rename(d / "wild.key.new", d / "wild.key")


def subject(client):
    der = client.leaf(client.app_name)
    done = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=der,
                          capture_output=True, check=True)
    return done.stdout.decode()


def wildcard(client):
    return f"DNS:*.{client.env['REGION']}.{client.env['PLATFORM_DOMAIN']}"


def test_without_good_files_the_local_ca_serves(system):
    """The files are configured but not there: a warning, not a platform without HTTPS."""
    system.stack.start("posternd")
    system.stack.wait_api()
    system.app(APP)
    wait_for("the app", lambda: system.http(system.app_name)[0] == 200)
    assert system.https(system.app_name, root=system.env["PLATFORM_ROOT"])[0] == 200
    assert "the platform certificate cannot be used" in system.stack.log("posternd")


def test_files_are_picked_up_without_restart(system):
    make_pair(system, "first.example", wildcard(system))
    system.stack.kill("posternd", signal.SIGHUP)
    wait_for("the first pair", lambda: "first.example" in subject(system))
    make_pair(system, "second.example", wildcard(system), days=10)
    system.stack.kill("posternd", signal.SIGHUP)
    wait_for("the second pair", lambda: "second.example" in subject(system))
    assert "expires soon" in system.stack.log("posternd")


def test_a_bad_file_leaves_the_good_one_in_place(system):
    make_pair(system, "stranger.example", "DNS:*.elsewhere.test")
    system.stack.kill("posternd", signal.SIGHUP)
    wait_for("the refusal", lambda: "does not cover" in system.stack.log("posternd"))
    assert "second.example" in subject(system)


def test_a_key_that_others_may_read_is_refused(system):
    make_pair(system, "loose.example", wildcard(system))
    os.chmod(system.stack.dir / "wild.key", 0o644)
    system.stack.kill("posternd", signal.SIGHUP)
    wait_for("the refusal", lambda: system.stack.log("posternd").count("cannot be used") >= 3)
    assert "second.example" in subject(system)
