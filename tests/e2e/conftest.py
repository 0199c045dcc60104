"""Fixtures of the end-to-end tests: the whole system on loopback, on real parts."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from client import Client  # noqa: E402
from stack import Stack  # noqa: E402
from zones import Fake  # noqa: E402


# No test calls a provider's real API by accident: nobody listens there.
NO_PROVIDERS = {f"dns.{name}.base_url": "http://127.0.0.1:9" for name in (
    "azure", "cloudflare", "dnsimple", "gandi", "gandiv5", "gcloud", "godaddy", "ovh", "route53")}


def _make(**options):
    folder = tempfile.mkdtemp(prefix="postern-test-")
    os.chmod(folder, 0o755)
    stack = Stack(folder, **options)
    stack.set = {"dns.interval": "2s", "acme.backoff_first": "2s", "app.domains_max": 1000,
                 "webhooks.backoff_first": "1s", **NO_PROVIDERS, **stack.set}
    try:
        stack.up()
    except Exception:
        show_logs(stack)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Client(stack)


def show_logs(stack):
    for log in sorted((stack.dir / "log").glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        told = [line for line in lines if " debug api: " not in line]
        print(f"---- {log.name}\n" + "\n".join(told)[-6000:])


def _end(client, request):
    if getattr(request.node, "failed", False) or request.session.testsfailed:
        show_logs(client.stack)
    client.stack.down()
    shutil.rmtree(client.stack.dir, ignore_errors=True)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def system(request):
    """A running system, on each database, shared by the tests of a module."""
    client = _make(db=request.param)
    yield client
    _end(client, request)


@pytest.fixture(scope="module")
def shared(request):
    """A running system on SQLite, shared by the tests of a module."""
    client = _make()
    yield client
    _end(client, request)


@pytest.fixture
def make_system(request):
    """Systems of a test's own: make_system(set_={...}, pebble_env={...}, db=...)."""
    made = []

    def make(**options):
        made.append(_make(**options))
        return made[-1]

    yield make
    for client in made:
        _end(client, request)


RENEWAL = "test_renewal.py"


@pytest.fixture(scope="session")
def short_lived(request):
    """A system whose CA gives certificates of 120 seconds.  It starts with the session, so that
    its two renewals pass while the other tests run."""
    return request.config.short_lived


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.fspath.basename == RENEWAL)


def pytest_collection_finish(session):
    session.config.short_lived = None
    wanted = any(item.fspath.basename == RENEWAL for item in session.items)
    if wanted and not session.config.option.collectonly:
        fake = Fake("cloudflare")
        client = _make(pebble_conf={"validity": 120}, set_={"dns.cloudflare.base_url": fake.url})
        fake.show(client.stack)
        client.fake = fake
        client.point("short.renew.test")
        client.app("renew")
        client.cli("env-set", "DNS_PROVIDER=cloudflare", "DNS_CLOUDFLARE_API_TOKEN=cf-token-secret",
                   app="renew")
        for name in ("short.renew.test", "*.renew.example.com"):
            client.cli("domains-add", name, app="renew")
        client.app("renew-by-hand")
        client.cli("domains-add", "*.by-hand.test", app="renew-by-hand")
        session.config.short_lived = client


def pytest_sessionfinish(session):
    client = getattr(session.config, "short_lived", None)
    if client:
        if session.testsfailed:
            show_logs(client.stack)
        client.fake.stop()
        client.stack.down()
        shutil.rmtree(client.stack.dir, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    item.failed = report.failed or getattr(item, "failed", False)
