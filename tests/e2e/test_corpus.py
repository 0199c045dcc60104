"""The corpus of good and bad uploads (tests/data/make-cert-corpus) through the CLI and the API.

The unit test cert_corpus judges each case by the module itself, in this process and in the one that
reads uploads; here the same verdicts come out at the two ends that people use.
"""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stack import ROOT, build_dir

# The API judges as of now, with the system's roots: what depends on either is not compared there.
BY_TIME_OR_ROOTS = {"expired", "not_yet_valid", "expires_soon", "chain_expired", "chain_broken",
                    "private_root", "too_long_lived", "intermediate_missing", "chain_repaired"}


@pytest.fixture(scope="module")
def corpus():
    folder = build_dir() / "tests" / "cert-corpus"
    subprocess.run([ROOT / "tests" / "data" / "make-cert-corpus", folder], check=True,
                   capture_output=True)
    cases = json.loads((folder / "manifest.json").read_text())["cases"]
    assert len(cases) >= 150
    return folder, cases


def codes(report):
    return {f["code"] for f in report["findings"]}


def by_cli(folder, case):
    argv = [build_dir() / "src" / "postern", "certs-check", "--json", "--at",
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(case["at"]))]
    for flag, value in (("--cert", case["cert"]), ("--key", case["key"]), ("--roots",
                                                                         case["roots"])):
        if value:
            argv += [flag, folder / value]
    if not case["roots"]:
        argv += ["--roots", "/dev/null"]
    if case["names"]:
        argv += ["--domain", case["names"][0]]
    env = {**os.environ}
    if case["passphrase"] is not None:
        env["POSTERN_PASSPHRASE"] = case["passphrase"]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, env=env)
    assert done.returncode in (0, 1), f"{case['name']}: {done.stderr}"
    assert "Sanitizer" not in done.stderr
    return done.returncode == 0, json.loads(done.stdout)


def can_be_said(case):
    """One name at the most, two files, nothing but what flags and fields can say."""
    special = {"rsa_bits_max", "held_key_of", "key_optional"} & set(case)
    return len(case["names"] or []) <= 1 and not case["extra"] and not case["aia"] and \
        case["cert"] and case["key"] and not special


def test_by_the_cli(corpus):
    folder, cases = corpus
    chosen = [c for c in cases if can_be_said(c)]
    assert len(chosen) >= 150
    with ThreadPoolExecutor(2) as pool:
        for case, (accepted, report) in zip(chosen, pool.map(lambda c: by_cli(folder, c), chosen)):
            assert codes(report) == set(case["codes"]), case["name"]
            assert accepted == case["accepted"], case["name"]


def text_of(folder, name):
    """JSON carries text only; binary forms come by the CLI."""
    if not name:
        return ""
    try:
        text = (folder / name).read_bytes().decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def test_by_the_api(shared, corpus):
    folder, cases = corpus
    token = {"Authorization": f"Bearer {shared.stack.bearer()}"}
    url = shared.env["POSTERN_URL"] + "/v1/certificates/check"
    seen, quoted, lines = 0, [], set()
    for case in cases:
        cert, key = text_of(folder, case["cert"]), text_of(folder, case["key"])
        if not can_be_said(case) or not cert or not key or len(cert) + len(key) > 50000:
            continue
        body = {"tlscert": cert, "tlskey": key}
        if case["names"]:
            body["name"] = case["names"][0]
        if case["passphrase"] is not None:
            body["passphrase"] = case["passphrase"]
        report = shared.stack.post_json(url, {"certificate": body}, token)["report"]
        got = codes(report) - BY_TIME_OR_ROOTS
        assert got == set(case["codes"]) - BY_TIME_OR_ROOTS, case["name"]
        quoted += [line for line in key.split() if len(line) > 40 and line in json.dumps(report)]
        lines.update(line for line in key.split() if len(line) > 40 and line not in cert)
        seen += 1
    assert seen >= 100
    assert not quoted
    log = shared.stack.log("posternd")
    assert not [line for line in lines if line in log]
