"""/openapi.json describes what there is, and what comes back is what it describes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api_testd import Api
from stack import ROOT, build_dir

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def api():
    api = Api("names.any_tld=true")
    yield api
    api.close()


@pytest.fixture(scope="module")
def doc(api):
    answer = api.call("GET", "/openapi.json")
    assert answer.status == 200
    return answer.json


def operations(doc):
    return [(method, path, op) for path, item in doc["paths"].items()
            for method, op in item.items()]


def test_each_route_is_described_once(doc):
    table = (ROOT / "src" / "api" / "route.c").read_text()
    macros = dict(re.findall(r'#define (V\w+)\s+"([^"]+)"', table))
    rows = re.findall(r"^    \{PST_(\w+),\s*((?:V\w+\s*)?(?:\"[^\"]*\")?),", table, re.M)
    routes = set()
    for method, pattern in rows:
        for name, value in macros.items():
            pattern = re.sub(rf"\b{name}\b", value, pattern)
        path = re.sub(r":(\w+)", r"{\1}", re.sub(r'["\s]', "", pattern))
        routes.add((method.lower(), path))
    assert {(m, p) for m, p, _ in operations(doc)} == routes and len(routes) > 40


def test_the_document_is_sound(doc):
    assert doc["openapi"].startswith("3.1.") and doc["info"]["title"] and doc["info"]["version"]
    ids = [op["operationId"] for _, _, op in operations(doc)]
    assert len(ids) == len(set(ids))
    for method, path, op in operations(doc):
        assert method in METHODS and path.startswith("/")
        named = re.findall(r"\{(\w+)\}", path)
        assert [p["name"] for p in op["parameters"]] == named and len(set(named)) == len(named)
        assert all(p["in"] == "path" and p["required"] for p in op["parameters"])
        assert op["summary"][-1] in ".?" and op["responses"]
        assert all(re.fullmatch(r"\d\d\d|\dXX", status) for status in op["responses"])
        if "requestBody" in op:
            assert method != "get"
            for content in op["requestBody"]["content"].values():
                assert isinstance(content["schema"], dict)
    for ref in set(re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(doc))):
        at = doc
        for part in ref.split("/"):
            at = at[part]


def fits(op, answer):
    status = str(answer.status)
    return status in op["responses"] or status[0] + "XX" in op["responses"]


@pytest.mark.parametrize("who", [None, "alice", "olga"])
@pytest.mark.parametrize("body", [None, "{", "[]", "null", '{"app":7,"domain":[],"token":{}}'])
def test_what_comes_back_is_described(api, doc, who, body):
    for method, path, op in operations(doc):
        if path.startswith("/edge/") or path in ("/metrics", "/v2/certificates/new"):
            continue
        real = re.sub(r"\{\w+\}", "nobody", path)
        answer = api.call(method.upper(), real, raw_body=body if "requestBody" in op else None,
                          user=who)
        assert fits(op, answer), (method, path, answer)
        if who is None and "security" in op:
            assert answer.status == 401, (method, path, answer)
        root = op["responses"].get(str(answer.status), {}).get("content", {}).get(
            "application/json", {}).get("schema", {}).get("required", [])
        assert all(member in answer.json for member in root), (method, path, answer)


def schemathesis():
    """In a folder of its own, from PyPI; None where that cannot be reached."""
    venv = ROOT / "build" / "schemathesis"
    binary = venv / "bin" / "schemathesis"
    if binary.exists():
        return binary
    if os.environ.get("POSTERN_OFFLINE") == "1":
        return None
    try:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, capture_output=True,
                       timeout=60)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "--disable-pip-version-check",
                        "--retries", "0", "--timeout", "10", "schemathesis==4.32.5"], check=True,
                       capture_output=True, timeout=150)
    except (OSError, subprocess.SubprocessError):
        return None
    return binary


def test_schemathesis(api, tmp_path):
    binary = schemathesis()
    if not binary:
        pytest.skip("schemathesis cannot be installed: PyPI is not reachable")
    document = api.call("GET", "/openapi.json").json
    document["paths"] = {p: i for p, i in document["paths"].items() if not p.startswith("/edge/") and p not in ("/v1/ready", "/metrics",
                                                                  "/v2/certificates/new")}
    file = Path(tmp_path) / "openapi.json"
    file.write_text(json.dumps(document))
    done = subprocess.run(
        [binary, "run", str(file), "--url", api.url, "-H",
         f"Authorization: Bearer {api.session('alice')}", "--max-examples", "5", "--seed", "1",
         "--phases", "fuzzing", "--checks",
         "not_a_server_error,status_code_conformance,content_type_conformance,"
         "response_schema_conformance", "--exclude-deprecated"],
        capture_output=True, text=True, timeout=170, cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
