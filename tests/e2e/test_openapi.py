"""/openapi.json describes what there is, and what comes back is what it describes."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api_testd import Api
from certs import Authority
from stack import ROOT, build_dir
from test_api_edge import changes, enrol, snapshot

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


# ---- what the objects look like ----

TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list,
         "null": type(None)}


def problems(doc, schema, value, where="answer"):
    """Where a value is not what a schema says, and members that no schema names."""
    if "$ref" in schema:
        return problems(doc, doc["components"]["schemas"][schema["$ref"].split("/")[-1]], value,
                        where)
    if "anyOf" in schema:
        tries = [problems(doc, s, value, where) for s in schema["anyOf"]]
        return [] if [] in tries else tries[0]
    types = schema.get("type", [])
    types = types if isinstance(types, list) else [types]
    if types and not any(type(value) is TYPES[t] for t in types):
        return [f"{where}: {value!r} is no {types}"]
    found = []
    if schema.get("format") == "date-time" and value is not None and \
            not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value):
        found.append(f"{where}: {value!r} is no time")
    if isinstance(value, dict):
        found += [f"{where}.{m}: missing" for m in schema.get("required", []) if m not in value]
        known = schema.get("properties")
        for name, member in value.items():
            if known and name in known:
                found += problems(doc, known[name], member, f"{where}.{name}")
    for i, one in enumerate(value if isinstance(value, list) else []):
        found += problems(doc, schema.get("items", {}), one, f"{where}[{i}]")
    return found


def test_the_validator_sees_problems(doc):
    good = {"id": "x", "name": "A", "value": "b"}
    schema = {"$ref": "#/components/schemas/Variable"}
    assert problems(doc, schema, good) == []
    for bad in ({**good, "value": 1}, {**good, "value": None}, {"id": "x", "name": "A"}, [], "x"):
        assert problems(doc, schema, bad)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A platform that has one of everything."""
    api = Api("names.any_tld=true", "platform.domain=platform.example",
              "upstream.allow=10.20.0.0/16")

    def make(path, body, method="POST"):
        answer = api.call(method, path, body, user="olga")
        assert answer.status in (200, 201), answer
        return answer.json

    app = make("/v1/apps", {"app": {"name": "filled"}})["app"]["id"]
    base = f"/v1/apps/{app}"
    make(f"{base}/domains", {"domain": {"name": "*.filled.example"}})
    domain = make(f"{base}/domains", {"domain": {"name": "www.filled.example"}})["domain"]["id"]
    api.do("cert", id=domain, to_s=10 ** 6, seen=True)
    api.do("order", id=domain, state="validating")
    make(f"{base}/variables", {"variables": [{"name": "A", "value": "b"}]}, "PUT")
    make(f"{base}/upstreams", {"upstreams": [{"address": "10.20.0.1:80", "drain": True}]}, "PUT")
    csr = make(f"{base}/domains/{domain}/csr", {"csr": {}})["csr"]["id"]
    hook = make("/v1/webhooks", {"webhook": {"url": "https://hooks.example/x"}})["webhook"]["id"]
    cert, key = Authority(tmp_path_factory.mktemp("ca")).leaf("*.kept.example")
    make("/v2/certificates/new", {"pem": key.read_text() + cert.read_text()})
    token = make("/v1/edges/enrol-tokens", {})["enrol_token"]["token"]
    key = base64.b64encode(bytes([9] + [0] * 31)).decode()
    make("/edge/v1/enrol", {"token": token, "name": "e1", "public_key": key})
    api.call("POST", f"{base}/domains/{domain}/retry", user="olga")
    api.do("seal")
    ca = api.call("GET", "/v1/cas", user="olga").json["cas"][0]["id"]
    yield api, {"app": app, "user": "alice", "csr": csr}, {
        "/v1/apps/{app}/domains/{id}": domain, "/v1/webhooks/{id}": hook, "/v1/cas/{id}": ca}
    api.close()


def test_answers_are_what_the_schemas_say(doc, filled):
    api, words, ids = filled
    seen = set()
    for method, path, op in operations(doc):
        content = op["responses"].get("200", {}).get("content", {}).get("application/json")
        if method != "get" or not content or path.startswith("/edge/"):
            continue
        real = path
        for prefix, value in ids.items():
            if real.startswith(prefix):
                real = real.replace("{id}", value, 1)
        for word, value in words.items():
            real = real.replace("{%s}" % word, value)
        answer = api.call("GET", real, user="olga")
        if answer.status == 200:
            assert problems(doc, content["schema"], answer.json, real) == []
            seen |= set(re.findall(r'schemas/(\w+)', json.dumps(content["schema"])))
    wild = f"/v1/apps/{words['app']}/domains/%2A.filled.example"
    made = {"Domain": ("GET", wild, None),
            "Operation": ("POST", f"/v1/apps/{words['app']}/restart", None),
            "Report": ("POST", "/v1/certificates/check", {"certificate": {"tlscert": "x"}}),
            "EnrolToken": ("POST", "/v1/edges/enrol-tokens", {})}
    for name, (method, path, body) in made.items():
        answer = api.call(method, path, body, user="olga")
        if name == "Operation":
            answer = api.call("GET", answer.headers["Location"].split(str(api.port))[1],
                              user="olga")
        root, value = next(iter(answer.json.items()))
        assert problems(doc, {"$ref": f"#/components/schemas/{name}"}, value, root) == []
        seen.add(name)
    inner = {"Owner", "Limit", "Profile", "Finding", "Token", "Error", "Absent", "Invalid",
             "Message", "Way", "Record"}
    assert set(doc["components"]["schemas"]) - seen <= inner


@pytest.mark.parametrize("status, method, path, body", [
    (400, "POST", "/v1/apps", "{"), (401, "GET", "/v1/apps", None), (403, "GET", "/v1/cas", None),
    (404, "GET", "/v1/apps/nobody", None), (404, "GET", "/v1/nothing", None),
    (422, "POST", "/v1/apps", "{}"), (400, "PUT", "/v2/self/applications/x/env/A", "{"),
    (401, "GET", "/v2/self", None), (404, "GET", "/v2/self/applications/x", None)])
def test_refusals_are_what_the_schemas_say(api, doc, status, method, path, body):
    answer = api.call(method, path, raw_body=body, user=None if status == 401 else "alice")
    assert answer.status == status
    names = {"400": "Error", "401": "Error", "403": "Error", "404": "Absent", "422": "Invalid"}
    name = "Message" if path.startswith("/v2") else names[str(status)]
    schema = doc["components"]["responses"][name]["content"]["application/json"]["schema"]
    assert problems(doc, schema, answer.json) == []


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


@pytest.fixture(scope="module")
def ready():
    """With an edge that counts as live for the whole run."""
    api = Api("names.any_tld=true", "edge.live_timeout=1h")
    edge = enrol(api)
    cursor, _ = snapshot(api, edge["token"])
    changes(api, edge["token"], cursor)
    assert api.call("GET", "/v1/ready").status == 200
    yield api
    api.close()


@pytest.mark.parametrize("user", ["alice", "olga"])
def test_schemathesis(ready, tmp_path, user):
    """A tenant's and an operator's token; POSTERN_EXAMPLES=100 for a long run."""
    binary = schemathesis()
    if not binary:
        pytest.skip("schemathesis cannot be installed: PyPI is not reachable")
    document = ready.call("GET", "/openapi.json").json
    # Edges have their own tokens.
    document["paths"] = {p: i for p, i in document["paths"].items() if not p.startswith("/edge/")}
    file = Path(tmp_path) / "openapi.json"
    file.write_text(json.dumps(document))
    examples = os.environ.get("POSTERN_EXAMPLES", "5")
    done = subprocess.run(
        [binary, "run", str(file), "--url", ready.url, "-H",
         f"Authorization: Bearer {ready.session(user)}", "--max-examples", examples, "--seed", "1",
         "--phases", "fuzzing", "--checks",
         "not_a_server_error,status_code_conformance,content_type_conformance,"
         "response_schema_conformance", "--exclude-deprecated"],
        capture_output=True, text=True, timeout=170 + 30 * int(examples), cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
