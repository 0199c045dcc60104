"""First run: posternd init, its refusals, the agreement, --check-config."""

import os
import subprocess

import pytest

from stack import build_dir

POSTERND = build_dir() / "src" / "posternd"


def run(*args, input=None):
    return subprocess.run([str(POSTERND), *map(str, args)], capture_output=True, text=True,
                          timeout=60, input=input, stdin=None if input else subprocess.DEVNULL)


def conf(tmp_path, **settings):
    lines = {"database.url": f"sqlite:{tmp_path}/postern.db",
             "keys.master_file": f"{tmp_path}/master.key", **settings}
    path = tmp_path / "postern.conf"
    path.write_text("".join(f"{k} = {v}\n" for k, v in lines.items()))
    return path


def test_init_makes_all_and_shows_the_token_once(tmp_path):
    c = conf(tmp_path)
    done = run("-c", c, "init", "--contact", "ops@example.net", "--agree-terms")
    assert done.returncode == 0, done.stderr
    token = done.stdout.strip()
    assert token.startswith("tk-us-") and "\n" not in token
    assert os.stat(tmp_path / "master.key").st_mode & 0o777 == 0o600
    assert token.encode() not in (tmp_path / "postern.db").read_bytes()


def test_init_again_changes_nothing(tmp_path):
    c = conf(tmp_path)
    assert run("-c", c, "init", "--agree-terms").returncode == 0
    before = {f.name: f.read_bytes() for f in tmp_path.glob("*") if f.name != "postern.db-shm"}
    done = run("-c", c, "init", "--agree-terms")
    assert done.returncode == 1 and "already" in done.stderr and not done.stdout
    after = {f.name: f.read_bytes() for f in tmp_path.glob("*") if f.name != "postern.db-shm"}
    assert before == after


def test_init_that_fails_leaves_no_key_behind(tmp_path):
    c = conf(tmp_path, **{"database.url": f"sqlite:{tmp_path}/no/such/folder/postern.db"})
    assert run("-c", c, "init").returncode == 1
    assert not (tmp_path / "master.key").exists()


def test_init_writes_a_configuration_if_there_is_none(tmp_path):
    c = tmp_path / "new.conf"
    done = run("-c", c, "-s", f"database.url=sqlite:{tmp_path}/postern.db", "-s",
               f"keys.master_file={tmp_path}/master.key", "init", "--directory",
               "https://acme-staging-v02.api.letsencrypt.org/directory")
    assert done.returncode == 0, done.stderr
    assert "posternd account --agree-terms" in done.stderr
    text = c.read_text()
    assert "acme.directory = https://acme-staging-v02.api.letsencrypt.org/directory" in text
    assert run("-c", c, "--check-config").returncode == 0


def test_wrong_usage_is_2_and_wrong_settings_are_named(tmp_path):
    assert run("no-such-command").returncode == 2
    assert run("--no-such-flag").returncode == 2
    assert run("init", "stray").returncode == 1 or run("init", "stray").returncode == 2
    c = conf(tmp_path, **{"acme.wrokers": "3"})
    done = run("-c", c, "--check-config")
    assert done.returncode == 1
    assert "acme.wrokers" in done.stderr and "acme.workers" in done.stderr


@pytest.mark.parametrize("sets, said", [
    (["platform.domain=", "platform.acme=true"], "platform.domain: must be set where platform.acme"),
    ([f"platform.domain={'.'.join(['a' * 49] * 5)}"], "too long"),
])
def test_settings_of_the_platform_that_do_not_fit(tmp_path, sets, said):
    words = [word for s in sets for word in ("--set", s)]
    done = run("-c", conf(tmp_path), *words, "--check-config")
    assert done.returncode == 1 and said in done.stderr


def test_a_master_key_that_others_may_read_is_refused(tmp_path):
    c = conf(tmp_path)
    assert run("-c", c, "init").returncode == 0
    os.chmod(tmp_path / "master.key", 0o644)
    done = run("-c", c)
    assert done.returncode == 1 and "master" in done.stderr


def test_another_master_key_is_refused(tmp_path):
    c = conf(tmp_path)
    assert run("-c", c, "init").returncode == 0
    (tmp_path / "master.key").rename(tmp_path / "lost.key")
    done = run("-c", c)
    assert done.returncode == 1 and "put back the copy" in done.stderr
    other = tmp_path / "other"
    other.mkdir()
    assert run("-c", conf(other), "init").returncode == 0
    (other / "master.key").rename(tmp_path / "master.key")
    done = run("-c", c)
    assert done.returncode == 1, "a wrong master key must stop the start"
    assert "AddressSanitizer" not in done.stderr


def test_nothing_is_ordered_before_the_terms_are_agreed_to(make_system):
    client = make_system(agree=False)
    client.app("terms")
    client.point("www.terms.test")
    client.cli("domains-add", "www.terms.test", app="terms")
    seen = client.wait_problem("terms", "www.terms.test", "account")
    assert seen["word"] == "Creating" and "terms" in seen["reason"]
    assert client.orders_at_ca() == 0
    assert "POST /sign-me-up" not in client.stack.log("pebble")

    client.stack.stop("posternd")
    done = run("-c", client.stack.dir / "postern.conf", "account", "--agree-terms")
    assert done.returncode == 0, done.stderr
    client.stack.start("posternd")
    client.stack.wait_api()
    client.wait_word("terms", "www.terms.test", "In use", 60)


def test_help_and_version():
    assert "usage: posternd" in run("--help").stdout
    assert "public suffix list" in run("--version").stdout
    assert "acme.directory" in run("--sample-config").stdout
