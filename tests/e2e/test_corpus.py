"""The corpus of uploads (tests/data/make-cert-corpus) through the command line and the API.

The unit test judges every case in the library, by the corpus's own time and roots.  Here the two
ways in must say the same: the command line by the manifest's verdicts, and the API, which judges as
of now by the system's roots, as the command line does as of now.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from api_testd import Api
from stack import ROOT, build_dir


@pytest.fixture(scope="module")
def corpus():
    folder = build_dir() / "tests" / "cert-corpus"
    subprocess.run([sys.executable, ROOT / "tests" / "data" / "make-cert-corpus", folder],
                   check=True, stdout=subprocess.DEVNULL)
    cases = json.loads((folder / "manifest.json").read_text())["cases"]
    # Held keys, known issuers, fetched ones and settings are not the command line's.
    library = ("held_key_of", "extra", "aia", "rsa_bits_max")
    usable = [c for c in cases if not any(c.get(k) for k in library) and len(c["names"]) <= 1 and
              (c["key"] or c.get("key_optional"))]
    assert len(usable) >= 150
    for c in usable:
        for k in ("cert", "key", "roots"):
            c[k] = str(folder / c[k]) if c[k] else ""
    return usable


def each(cases, what):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = [w for w in pool.map(what, cases) if w]
    assert not wrong, "\n".join(map(str, wrong))


def check(case, *more):
    flags = ["--cert", case["cert"], "--key", case["key"], "--domain", "".join(case["names"]),
             "--passphrase", case["passphrase"] or "", "--json", *more]
    done = subprocess.run([build_dir() / "src" / "postern", "certs-check", *flags],
                          capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    if done.returncode not in (0, 1) or done.stderr:
        return done.returncode, done.stderr
    report = json.loads(done.stdout)
    assert report["accepted"] == (done.returncode == 0)
    return report["accepted"], sorted({f["code"] for f in report["findings"]})


def test_the_command_line_gives_the_verdicts_of_the_corpus(corpus):
    def judge(case):
        at = subprocess.run(["date", "-u", "-d", f"@{case['at']}", "+%Y-%m-%dT%H:%M:%SZ"],
                            capture_output=True, text=True).stdout.strip()
        got = check(case, "--at", at, "--roots", case["roots"])
        wanted = (case["accepted"], sorted(set(case["codes"])))
        return got != wanted and (case["name"], got, wanted)

    each([c for c in corpus if c["roots"]], judge)


def text(path):
    """What JSON can carry, or None."""
    data = open(path, "rb").read() if path else b""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def test_the_api_says_what_the_command_line_says(corpus):
    api = Api("api.body_max=1M")
    api.call("GET", "/v1/users/self", user="alice")  # one session for all threads

    def judge(case):
        cert, key = text(case["cert"]), text(case["key"])
        if cert is None or key is None or (case["key"] and not key):
            return None  # an empty text is no key that was given
        if "rounds" in case["name"]:
            return None  # half a second by itself: too near the limit with a sanitizer
        body = {"tlscert": cert, "tlskey": key, "passphrase": case["passphrase"],
                "name": "".join(case["names"])}
        answer = api.call("POST", "/v1/certificates/check", {"certificate": body}, user="alice")
        report = answer.json["report"]
        got = report["accepted"], sorted({f["code"] for f in report["findings"]})
        wanted = check(case)
        return got != wanted and (case["name"], got, wanted)

    try:
        each(corpus, judge)
    finally:
        api.close()
