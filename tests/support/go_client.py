"""A client that talks and listens as programs written in Go with go-scalingo do.

Requests carry the headers, the compact bodies and the "?" behind every GET and DELETE that those
programs send; answers are decoded with the strictness of Go's encoding/json: a wrong type anywhere
fails the whole answer, null and absent members give zero values, unknown members are ignored, and
a time must be RFC 3339.  The status must be exactly the one that the operation is known to have.
"""

import base64
import http.client
import json
import re
import time

TIME = re.compile(r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
                  r"(\.\d+)?(Z|[+-]\d\d:\d\d)$")
DAY = re.compile(r"^\d{4}-\d\d-\d\d$")

# ---- what Go decodes into: "string", "bool", "time", "day", [element], ("map", element), struct ----

STRUCT = {
    "user": {"id": "string", "username": "string", "fullname": "string", "email": "string",
             "flags": ("map", "bool")},
    "region": {"name": "string", "display_name": "string", "ssh": "string", "api": "string",
               "dashboard": "string", "database_api": "string", "default": "bool"},
    "stack": {"id": "string", "created_at": "time", "name": "string", "description": "string",
              "base_image": "string", "default": "bool", "deprecated_at": "day"},
    "variable": {"id": "string", "name": "string", "value": "string"},
    "operation": {"id": "string", "app_id": "string", "created_at": "time", "finished_at": "time",
                  "status": "string", "type": "string", "error": "string"},
    "token": {"id": "string", "name": "string", "created_at": "time", "last_used_at": "time",
              "token": "string"},
    "domain": {"id": "string", "app_id": "string", "name": "string", "tlscert": "string",
               "tlskey": "string", "letsencrypt_enabled": "bool", "ssl": "bool",
               "validity": "time", "canonical": "bool", "letsencrypt": "bool",
               "letsencrypt_status": "string", "ssl_status": "string", "acme_dns_fqdn": "string",
               "acme_dns_value": "string",
               "acme_dns_error": {"dns_provider": "string", "variables": ["string"]}},
    "app": {"id": "string", "name": "string", "region": "string",
            "owner": {"id": "string", "username": "string", "email": "string",
                      "flags": ("map", "bool")},
            "git_url": "string", "url": "string", "base_url": "string", "status": "string",
            "last_deployed_at": "time", "last_deployed_by": "string", "created_at": "time",
            "updated_at": "time", "links": {"deployments_stream": "string"}, "stack_id": "string",
            "sticky_session": "bool", "force_https": "bool", "router_logs": "bool",
            "flags": ("map", "bool"), "limits": ("map", "any"), "hds_resource": "bool",
            "private_networks_ids": ["string"], "project": {"id": "string", "name": "string"}},
}
ERRORS = {400: {"error": "string", "code": "string"}, 401: {"error": "string"},
          402: {"name": "string", "error": "string", "url": "string"},
          403: {"error": "string", "code": "string"},
          404: {"resource": "string", "error": "string"}, 409: {"error": "string"},
          422: {"errors": ("map", ["string"])}, 429: {"error": "string", "code": "string"}}
ZERO = {"string": "", "bool": False, "time": None, "day": None, "any": None}


class GoError(Exception):
    """What the Go program would stop with."""


def decode(value, kind, where="body"):
    if isinstance(kind, str):
        return scalar(value, kind, where)
    if isinstance(kind, list):
        if value is not None and not isinstance(value, list):
            raise GoError(f"{where}: cannot unmarshal {value!r} into a slice")
        return [decode(v, kind[0], f"{where}[]") for v in value or []]
    if value is not None and not isinstance(value, dict):
        raise GoError(f"{where}: cannot unmarshal {value!r} into an object")
    value = value or {}
    if isinstance(kind, tuple):
        return {k: decode(v, kind[1], f"{where}.{k}") for k, v in value.items()}
    # Go takes members in any case; ours are in the one that is written.
    return {k: decode(value.get(k), t, f"{where}.{k}") for k, t in kind.items()}


def scalar(value, kind, where):
    if value is None or kind == "any":
        return value if kind == "any" else ZERO[kind]
    wanted = bool if kind == "bool" else str
    if not isinstance(value, wanted):
        raise GoError(f"{where}: cannot unmarshal {value!r} into a {kind}")
    if kind == "time" and not TIME.match(value) or kind == "day" and not DAY.match(value):
        raise GoError(f"{where}: cannot parse {value!r} as a {kind}")
    return value


def one_of(name):
    return {name: STRUCT[name]}


def list_of(name):
    return {name + "s": [STRUCT[name]]}


def encode(value):
    """As Go writes it: no blanks, and <, > and & escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for c in "<>&":
        text = text.replace(c, "\\u%04x" % ord(c))
    return text.encode()


def check_jwt(text):
    """As jwt/v4's unverified parsing with the standard claims: (header, claims)."""
    parts = text.split(".")
    if len(parts) != 3:
        raise GoError("token contains an invalid number of segments")

    def part(s):
        if "=" in s:
            raise GoError("illegal base64 data")
        return json.loads(base64.urlsafe_b64decode(s + "=" * (-len(s) % 4)))

    header, claims = part(parts[0]), part(parts[1])
    if header.get("alg") not in ("HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA", "none"):
        raise GoError("signing method (alg) is unavailable")
    if not isinstance(claims.get("exp"), (int, float)) or isinstance(claims["exp"], bool):
        raise GoError("nil dereference: no exp")
    return header, claims


class GoClient:
    """One client object: exchanges the API token for itself at its first request."""

    def __init__(self, url, token, agent="Scalingo CLI v1.48.0"):
        self.host = url.split("//")[1]
        self.token, self.agent = token, agent
        self.bearer, self.until = None, 0
        self.sent = []

    def raw(self, method, path, body=b"", authorization=None):
        headers = {"User-Agent": self.agent, "Accept": "application/json",
                   "Content-Type": "application/json", "Accept-Encoding": "gzip"}
        if authorization:
            headers["Authorization"] = authorization
        c = http.client.HTTPConnection(self.host, timeout=30)
        c.request(method, path, body=body or None, headers=headers)
        r = c.getresponse()
        text = r.read()
        c.close()
        self.sent.append((method, path, body.decode()))
        if r.headers.get("Content-Encoding"):
            raise GoError("compressed: this client would have to unpack it")
        return r.status, r.headers, text

    def exchange(self):
        basic = base64.b64encode(f":{self.token}".encode()).decode()
        status, _, text = self.raw("POST", "/v1/tokens/exchange", b"{}", f"Basic {basic}")
        if status != 200:
            raise GoError(f"exchange: {status} {text}")
        self.bearer = decode(json.loads(text), {"token": "string"})["token"]
        self.until = check_jwt(self.bearer)[1]["exp"]

    def __call__(self, method, path, kind=None, body=None, status=None, send=None):
        """`send`: the body's bytes, where they are not those of `body`."""
        if self.until - time.time() < 300:
            self.exchange()
        if method in ("GET", "DELETE") and "?" not in path:
            path += "?"
        data = send if send is not None else encode(body) if body is not None else b""
        got, headers, text = self.raw(method, path, data, f"Bearer {self.bearer}")
        wanted = status or {"GET": 200, "POST": 201, "PUT": 200, "PATCH": 200, "DELETE": 204}[method]
        if got != wanted:
            raise GoError(f"{method} {path}: {got}, not {wanted}: {text.decode()}")
        self.headers = headers
        if got in ERRORS:
            answer = decode(json.loads(text), ERRORS[got])
            if got == 422 and not answer["errors"]:
                raise GoError("invalid body when returning a 422")
            return answer
        return decode(json.loads(text), kind) if kind else text
