"""posternd dns: exit status, output and what stays out of it, on fakes of the providers' APIs.

The last test wants moto, an independent Route 53; it is installed from PyPI where that can be reached.
"""

import json
import os
import subprocess
import sys
import urllib.request

import pytest

from stack import ROOT, build_dir

NAME = "_acme-challenge.example.com"
VALUE = "-oqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
TOKEN = {"DNS_PROVIDER": "dnsimple", "DNS_DNSIMPLE_OAUTH_TOKEN": "ds-token-secret"}


class Fake:
    def __init__(self, provider):
        script = ROOT / "tests" / "dns" / "fake_dns.py"
        self.process = subprocess.Popen([sys.executable, script, provider], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def control(self, **what):
        urllib.request.urlopen(f"{self.url}/_control", json.dumps(what).encode()).read()

    def records(self):
        state = json.load(urllib.request.urlopen(f"{self.url}/_state"))
        return {name: [v for v, _ in values] for name, values in state["records"].items()}

    def stop(self):
        self.process.communicate("")


@pytest.fixture
def fake():
    fake = Fake("dnsimple")
    yield fake
    fake.stop()


def dns(*args, env=TOKEN, sets=()):
    """Nobody answers at port 9: the look-up of CNAMEs fails, which is a warning only."""
    argv = [build_dir() / "src" / "posternd", "--config", "/nonexistent", "--set",
            "dns.resolver=127.0.0.1:9", "--set", "dns.timeout=1s", *sets, "dns", *args]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DNS_")}
    return subprocess.run(argv, env={**clean, **env}, capture_output=True, text=True, timeout=90)


def test_check_add_remove(fake):
    checked = dns("check", NAME, "--base-url", fake.url)
    assert checked.returncode == 0 and "example.com" in checked.stdout, checked.stderr
    assert "warning" in checked.stderr
    assert fake.records() == {}
    added = dns("add", NAME + ".", VALUE, f"--base-url={fake.url}", "--json")
    assert added.returncode == 0, added.stderr
    answer = json.loads(added.stdout)
    assert answer["done"] and answer["changed"] and answer["zone"] == "example.com"
    assert fake.records() == {NAME: [VALUE]}
    again = dns("add", "--json", NAME, VALUE, "--base-url", fake.url)
    assert not json.loads(again.stdout)["changed"] and again.returncode == 0
    assert dns("remove", NAME, VALUE, "--base-url", fake.url).returncode == 0
    assert fake.records() == {}


def test_setting(fake):
    done = dns("check", NAME, sets=["--set", f"dns.dnsimple.base_url={fake.url}"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("args", [
    [], ["check"], ["add", NAME], ["check", NAME, VALUE], ["burn", NAME, VALUE], ["check", NAME, "--x"],
    ["add", NAME, VALUE, "more"], ["check", NAME, "--base-url"],
    ["check", NAME, "--base-url", "http://api.example"],
])
def test_wrong_usage(args):
    done = dns(*args)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_permanent(fake):
    fake.control(revoke=True)
    done = dns("add", NAME, VALUE, "--base-url", fake.url, "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["acme_dns_error"] == {
        "dns_provider": "dnsimple", "variables": ["DNS_DNSIMPLE_OAUTH_TOKEN"]}
    assert "ds-token" not in done.stdout + done.stderr
    fake.control(revoke=False)
    assert dns("check", "_acme-challenge.example.org", "--base-url", fake.url).returncode == 3


def test_variables():
    done = dns("check", NAME, "--json", env={"DNS_PROVIDER": "azure", "DNS_AZURE_CLIENT_ID": "x"})
    assert done.returncode == 3
    assert json.loads(done.stdout)["acme_dns_error"]["variables"] == [
        "DNS_AZURE_CLIENT_SECRET", "DNS_AZURE_SUBSCRIPTION_ID", "DNS_AZURE_TENANT_ID",
        "DNS_AZURE_RESOURCE_GROUP"]
    for env in ({"DNS_PROVIDER": "nobody"}, {}):
        done = dns("check", NAME, "--json", env=env)
        assert done.returncode == 3
        assert json.loads(done.stdout)["acme_dns_error"]["variables"] == []


def test_transient(fake):
    fake.control(fail={"status": 429, "headers": {"Retry-After": "1"}, "times": 2})
    done = dns("add", NAME, VALUE, "--base-url", fake.url)
    assert done.returncode == 0 and "again in 1 s" in done.stderr
    fake.control(fail={"status": 503, "headers": {"Retry-After": "3000"}, "times": 99})
    done = dns("remove", NAME, VALUE, "--base-url", fake.url)
    assert done.returncode == 4 and "503" in done.stderr
    assert fake.records() == {NAME: [VALUE]}


def test_gate():
    env = {"DNS_PROVIDER": "rfc2136", "DNS_RFC2136_NAMESERVER": "127.0.0.1:9",
           "DNS_RFC2136_TSIG_KEY": "k", "DNS_RFC2136_TSIG_SECRET": "c2VjcmV0"}
    done = dns("add", NAME, VALUE, env=env)
    assert done.returncode == 3 and "gate.allow" in done.stderr


@pytest.fixture(scope="module")
def moto():
    venv = ROOT / "build" / "tools" / "moto"
    server = venv / "bin" / "moto_server"
    if not server.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, capture_output=True)
        done = subprocess.run([venv / "bin" / "pip", "install", "-q", "--timeout", "20",
                               "--retries", "1", "moto[server]"], capture_output=True, text=True)
        if done.returncode:
            pytest.skip("moto cannot be installed: PyPI is not reached")
    port = 20000 + os.getpid() % 20000
    process = subprocess.Popen([server, "-H", "127.0.0.1", "-p", str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=1).read()
            break
        except OSError:
            subprocess.run(["sleep", "0.2"], check=True)
    yield url
    process.terminate()
    process.wait()


def test_route53_on_moto(moto):
    scope = "AWS4-HMAC-SHA256 Credential=a/20240101/us-east-1/route53/aws4_request, " \
            "SignedHeaders=host, Signature=0"
    body = ('<CreateHostedZoneRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/">'
            "<Name>example.com.</Name><CallerReference>1</CallerReference></CreateHostedZoneRequest>")
    urllib.request.urlopen(urllib.request.Request(
        f"{moto}/2013-04-01/hostedzone", body.encode(),
        {"Authorization": scope, "Content-Type": "text/xml"})).read()
    env = {"DNS_PROVIDER": "route53", "DNS_AWS_ACCESS_KEY_ID": "a", "DNS_AWS_SECRET_ACCESS_KEY": "b"}
    other = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"

    for action, value in (("check", None), ("add", VALUE), ("add", other), ("add", VALUE),
                          ("remove", VALUE), ("remove", VALUE), ("remove", other)):
        done = dns(action, NAME, *([value] if value else []), "--base-url", moto, "--json", env=env)
        assert done.returncode == 0, (action, done.stderr)
    assert not json.loads(dns("remove", NAME, other, "--base-url", moto, "--json",
                              env=env).stdout)["changed"]
