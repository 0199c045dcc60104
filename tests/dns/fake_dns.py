#!/usr/bin/python3
"""Fakes of DNS providers' APIs: stateful, and strict about what the providers are strict about.

    fake_dns.py PROVIDER     listens on 127.0.0.1, prints its port, ends with its standard input

Written from the providers' documentation, not from our client.  Beside the API:

    POST /_control  {"reset": true}                        as after the start
                    {"zones": [{"name":..., "private":...}]}  instead of the usual ones
                    {"set": NAME, "values": [...], "ttl":} the TXT records of a name
                    {"race": NAME, "value":, "when": "read"|"write", "times":}
                        somebody else adds a value right after the set was read, or right before
                        it is written
                    {"fail": {"status":, "headers":, "body":, "times":, "match": REGEX}}
                    {"throttle": N}                        N requests in the provider's own way
                    {"revoke": true}, {"expire": true}     the credentials, the tokens given out
                    {"echo": true}                         refuse all, with the request's head and
                                                           body in the error's message
                    {"delay": SECONDS}, {"pending": N}, {"forbid": WORD}
    GET /_state     {"records": {NAME: [[VALUE, TTL]...]}, "log": ["METHOD PATH"...], "writes": N}
"""

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ET
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON = {"Content-Type": "application/json"}


class Answer(Exception):
    """An answer that ends the handling of a request."""

    def __init__(self, status, body=None, headers=None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


def quoted(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(value):
    if not value.startswith('"'):
        return value
    strings = re.findall(r'"((?:[^"\\]|\\.)*)"', value)
    return re.sub(r"\\(.)", r"\1", "".join(strings))


class Request:
    def __init__(self, method, target, headers, body, base):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        parts = urllib.parse.urlsplit(target)
        self.path, self.query_text = parts.path, parts.query
        self.segments = [urllib.parse.unquote(s) for s in parts.path.strip("/").split("/")]
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.url = base + target

    def json(self):
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            raise Answer(415, {"message": "Content-Type must be application/json"})
        return json.loads(self.body)

    def form(self):
        assert self.headers.get("Content-Type") == "application/x-www-form-urlencoded"
        return dict(urllib.parse.parse_qsl(self.body.decode(), strict_parsing=True))


class Fake:
    ttl_min, ttl_default = 1, 60
    writes = ("POST", "PUT", "PATCH", "DELETE")

    def __init__(self):
        self.lock = threading.RLock()
        self.reset()

    def reset(self):
        self.zones = {}
        self.records = {}  # name: [[value, ttl]...], values unquoted
        self.tags = {}
        self.log, self.races, self.failures = [], [], []
        self.throttled = self.delay = self.pending = self.counter = 0
        self.revoked = self.echo = False
        self.forbidden = None
        self.tokens = set()
        self.changes = {}
        self.add_zones([{"name": "example.com"}, {"name": "sub.example.com"},
                        {"name": "example.net"}])

    def add_zones(self, zones):
        self.zones = []
        for i, z in enumerate(zones):
            self.zones.append({"id": f"Z{i:03d}ABC", "private": False, "status": "active", **z})

    def next(self):
        self.counter += 1
        return self.counter

    # -- control --

    def control(self, c):
        if c.get("reset"):
            self.reset()
        if "zones" in c:
            self.add_zones(c["zones"])
        if "set" in c:
            self.records[c["set"]] = [[v, c.get("ttl", self.ttl_default)] for v in c["values"]]
            self.touch(c["set"])
        if "race" in c:
            for i in range(c.get("times", 1)):
                self.races.append([c["race"], c["value"] + (f"-{i}" if i else ""), c["when"]])
        if "fail" in c:
            self.failures.append({"times": 1, "headers": {}, "body": "", "match": ".", **c["fail"]})
        self.throttled = c.get("throttle", self.throttled)
        self.delay = c.get("delay", self.delay)
        self.pending = c.get("pending", self.pending)
        self.revoked = c.get("revoke", self.revoked)
        self.echo = c.get("echo", self.echo)
        self.forbidden = c.get("forbid", self.forbidden)
        if c.get("expire"):
            self.expire()

    def state(self):
        return {"records": {k: v for k, v in self.records.items() if v}, "log": self.log,
                "writes": sum(1 for line in self.log if self.is_write(line))}

    def is_write(self, line):
        return line.startswith(self.writes)

    def expire(self):
        self.tokens.clear()

    # -- shared parts --

    def touch(self, name):
        self.tags[name] = f"tag-{self.next()}"

    def race(self, name, when):
        for race in list(self.races):
            if race[0] == name and race[2] == when:
                self.races.remove(race)
                self.records.setdefault(name, []).append([race[1], self.ttl_default])
                self.touch(name)
                return

    def throttle(self):
        raise Answer(429, {"message": "slow down"}, {"Retry-After": "7"})

    def refuse_all(self, r):
        raise Answer(403, self.error("echo", f"{dict(r.headers)} {r.body.decode('latin-1')}"))

    def error(self, code, message):
        return {"code": code, "message": message}

    def find_zone(self, name):
        return next((z for z in self.zones if z["name"] == name), None)

    def handle(self, r):
        for f in list(self.failures):
            if f["times"] > 0 and re.search(f["match"], f"{r.method} {r.target}"):
                f["times"] -= 1
                raise Answer(f["status"], f["body"], f["headers"])
        if self.echo:
            self.refuse_all(r)
        if self.throttled > 0:
            self.throttled -= 1
            self.throttle()
        return self.api(r)


class Cloudflare(Fake):
    def error(self, code, message):
        return {"success": False, "errors": [{"code": 10000, "message": message}], "messages": [],
                "result": None}

    def fail(self, status, code, message):
        raise Answer(status, {"success": False, "errors": [{"code": code, "message": message}],
                              "messages": [], "result": None})

    def page(self, r, items):
        size, page = int(r.query.get("per_page", 20)), int(r.query.get("page", 1))
        pages = max(1, -(-len(items) // size))
        part = items[(page - 1) * size:page * size]
        return {"success": True, "errors": [], "messages": [], "result": part,
                "result_info": {"page": page, "per_page": size, "count": len(part),
                                "total_count": len(items), "total_pages": pages}}

    def ok(self, result):
        return {"success": True, "errors": [], "messages": [], "result": result}

    def authorize(self, r):
        bearer, key = r.headers.get("Authorization"), r.headers.get("X-Auth-Key")
        if bearer and key:
            self.fail(400, 6003, "both kinds of credentials")
        good = bearer == "Bearer cf-token-secret" or (
            key == "cf-key-secret" and r.headers.get("X-Auth-Email") == "op@example.net")
        if self.revoked or not good:
            self.fail(403, 9109 if bearer else 9103, "Unknown X-Auth-Key or X-Auth-Email")

    def throttle(self):
        raise Answer(429, self.error(0, "rate limited"), {"retry-after": "7"})

    def view(self, name, i, v):
        return {"id": f"rec{i}x{hashlib.md5(v[0].encode()).hexdigest()}", "type": "TXT",
                "name": name, "content": quoted(v[0]) if i % 2 else v[0], "ttl": v[1]}

    def api(self, r):
        self.authorize(r)
        s = r.segments
        if s == ["zones"] and r.method == "GET":
            assert r.query["name"]
            found = [{"id": z["id"], "name": z["name"], "status": z["status"], "type": "full"}
                     for z in self.zones if z["name"] == r.query["name"].lower()]
            return self.page(r, found)
        zone = next((z for z in self.zones if z["id"] == s[1]), None)
        if not zone or s[2] != "dns_records":
            self.fail(404, 7003, "Could not route to /zones")
        if r.method == "GET":
            name = r.query["name.exact"].lower()
            assert r.query["type"] == "TXT"
            items = [self.view(name, i, v) for i, v in enumerate(self.records.get(name, []))]
            # The filter takes neighbours whose names differ in case only.
            answer = self.page(r, items)
            self.race(name, "read")
            return answer
        if r.method == "POST":
            b = r.json()
            assert b["type"] == "TXT" and 60 <= b["ttl"] <= 86400
            if not b["name"].endswith(zone["name"]):
                self.fail(400, 9000, "DNS name is invalid")
            if not re.fullmatch(r'"[^"]*"', b["content"]):
                self.fail(400, 9998, "content must be quoted")
            self.race(b["name"], "write")
            values = self.records.setdefault(b["name"], [])
            if any(v[0] == unquoted(b["content"]) for v in values):
                self.fail(400, 81058, "An identical record already exists.")
            values.append([unquoted(b["content"]), b["ttl"]])
            return self.ok(self.view(b["name"], len(values), values[-1]))
        if r.method == "DELETE":
            for name, values in self.records.items():
                self.race(name, "write")
                for i, v in enumerate(values):
                    if self.view(name, i, v)["id"].split("x")[1] == s[3].split("x")[1]:
                        values.remove(v)
                        return self.ok({"id": s[3]})
            self.fail(404, 81044, "Record does not exist.")
        raise Answer(405)


class Dnsimple(Fake):
    def reset(self):
        super().reset()
        self.ids = {}

    def id_of(self, name, value):
        return self.ids.setdefault((name, value), 64784 + len(self.ids))

    def throttle(self):
        raise Answer(429, {"message": "quota exceeded"},
                     {"X-RateLimit-Reset": str(int(time.time()) + 7)})

    def api(self, r):
        if self.revoked or r.headers.get("Authorization") != "Bearer ds-token-secret":
            raise Answer(401, {"message": "Authentication failed"})
        assert "application/json" in r.headers["Accept"]
        s = r.segments
        if s == ["whoami"]:
            if self.forbidden == "user":
                return {"data": {"user": {"id": 1}, "account": None}}
            return {"data": {"user": None, "account": {"id": 1010, "email": "a@example.net"}}}
        if s == ["accounts"]:
            return {"data": [{"id": 1010}, {"id": 1011}]}
        if s[0] != "1010" or s[1] != "zones":
            raise Answer(404, {"message": "Not found"})
        zone = self.find_zone(s[2])
        if not zone:
            raise Answer(404, {"message": f"Zone `{s[2]}` not found"})
        if len(s) == 3:
            return {"data": {"id": 1, "account_id": 1010, "name": zone["name"], "active": True,
                             "secondary": zone.get("secondary", False)}}
        if r.method == "GET":
            name = ".".join(filter(None, [r.query["name"], zone["name"]]))
            assert r.query["type"] == "TXT"
            values = self.records.get(name, [])
            size, page = int(r.query.get("per_page", 30)), int(r.query.get("page", 1))
            assert size <= 100
            pages = max(1, -(-len(values) // size))
            data = [{"id": self.id_of(name, v[0]), "zone_id": zone["name"], "name": r.query["name"],
                     "content": quoted(v[0]) if i % 2 else v[0], "ttl": v[1], "type": "TXT"}
                    for i, v in enumerate(values)][(page - 1) * size:page * size]
            self.race(name, "read")
            return {"data": data, "pagination": {"current_page": page, "per_page": size,
                                                 "total_entries": len(values),
                                                 "total_pages": pages}}
        if r.method == "POST":
            b = r.json()
            name = ".".join(filter(None, [b["name"], zone["name"]]))
            self.race(name, "write")
            values = self.records.setdefault(name, [])
            if any(v[0] == unquoted(b["content"]) for v in values):
                raise Answer(400, {"message": "Validation failed",
                                   "errors": {"base": ["already exists"]}})
            values.append([unquoted(b["content"]), b["ttl"]])
            raise Answer(201, {"data": {"id": self.id_of(name, b["content"])}})
        if r.method == "DELETE":
            for (name, value), i in self.ids.items():
                self.race(name, "write")
                values = self.records.get(name, [])
                for v in values:
                    if str(i) == s[4] and v[0] == value:
                        values.remove(v)
                        raise Answer(204)
            raise Answer(404, {"message": f"Record `{s[4]}` not found"})
        raise Answer(405)


class Gandi(Fake):
    ttl_min, ttl_default = 300, 300
    schemes = ("Apikey gandi-key-secret", "Bearer gandi-pat-secret")

    def api(self, r):
        if self.revoked or r.headers.get("Authorization") not in self.schemes:
            raise Answer(401 if self.forbidden != "403" else 403,
                         {"code": 401, "message": "The server could not verify that you are "
                          "authorized", "object": "HTTPUnauthorized", "cause": "Unauthorized"})
        s = r.segments
        missing = Answer(404, {"code": 404, "message": "The resource could not be found.",
                               "object": "HTTPNotFound", "cause": "Not Found"})
        zone = self.find_zone(s[1]) if s[0] == "domains" else None
        if not zone:
            raise missing
        if zone.get("denied"):
            raise Answer(403, {"code": 403, "message": "Access was denied", "object":
                               "HTTPForbidden", "cause": "Forbidden"})
        if len(s) == 2:
            return {"fqdn": zone["name"], "automatic_snapshots": True}
        assert s[2] == "records" and s[4] == "TXT"
        name = zone["name"] if s[3] == "@" else f"{s[3]}.{zone['name']}"
        values = self.records.get(name, [])
        if r.method == "GET":
            if not values:
                self.race(name, "read")
                raise missing
            answer = {"rrset_name": s[3], "rrset_type": "TXT", "rrset_ttl": values[0][1],
                      "rrset_values": [quoted(v[0]) for v in values]}
            self.race(name, "read")
            return answer
        self.race(name, "write")
        values = self.records.get(name, [])
        if r.method == "DELETE":
            if not values:
                raise missing
            del self.records[name]
            raise Answer(204)
        b = r.json()
        if not b["rrset_values"] or b["rrset_ttl"] < 300:
            raise Answer(400, {"status": "error", "errors": [{"location": "body", "name":
                               "rrset_ttl", "description": "must be at least 300"}]})
        if r.method == "POST" and values:
            raise Answer(409, {"code": 409, "message": "A DNS Record already exists",
                               "object": "dns-record", "cause": "Duplicate Entry"})
        self.records[name] = [[unquoted(v), b["rrset_ttl"]] for v in b["rrset_values"]]
        raise Answer(201, {"message": "DNS Record Created"})

    def throttle(self):
        raise Answer(429, {"code": 429, "message": "Too many requests"})


class Godaddy(Fake):
    ttl_min, ttl_default = 600, 600

    def api(self, r):
        if self.revoked or r.headers.get("Authorization") != "sso-key gd-key-secret:gd-secret":
            raise Answer(401, {"code": "UNABLE_TO_AUTHENTICATE", "message": "Unauthorized"})
        if self.forbidden:
            raise Answer(403, {"code": "ACCESS_DENIED", "message": "Authenticated user is not "
                               "allowed access"})
        s = r.segments
        assert s[:2] == ["v1", "domains"]
        zone = self.find_zone(s[2])
        if not zone:
            if s[2].count(".") > 1:
                raise Answer(422, {"code": "INVALID_BODY", "message": "domain is invalid"})
            raise Answer(404, {"code": "NOT_FOUND", "message": "no such domain"})
        if len(s) == 3:
            return {"domain": zone["name"], "domainId": 1, "status": "ACTIVE"}
        if r.method == "PATCH":
            assert len(s) == 4
            for b in r.json():
                self.check(b)
                name = zone["name"] if b["name"] == "@" else f"{b['name']}.{zone['name']}"
                self.race(name, "write")
                values = self.records.setdefault(name, [])
                if any(v[0] == b["data"] for v in values):
                    raise Answer(422, {"code": "DUPLICATE_RECORD", "message": "is a duplicate"})
                values.append([b["data"], b["ttl"]])
            raise Answer(200, "")
        if len(s) != 6:
            self.records = {}  # what the real one would do to the domain
            raise Answer(200, "")
        name = zone["name"] if s[5] == "@" else f"{s[5]}.{zone['name']}"
        if r.method == "GET":
            answer = [{"type": "TXT", "name": s[5], "data": v[0], "ttl": v[1]}
                      for v in self.records.get(name, [])]
            self.race(name, "read")
            return answer
        self.race(name, "write")
        if r.method == "DELETE":
            if not self.records.pop(name, None):
                raise Answer(404, {"code": "NOT_FOUND", "message": "no records"})
            raise Answer(204)
        body = r.json()
        if not body:
            raise Answer(422, {"code": "INVALID_BODY", "message": "empty"})
        for b in body:
            self.check(b)
        self.records[name] = [[b["data"], b["ttl"]] for b in body]
        raise Answer(200, "")

    def check(self, b):
        if not b["data"].strip() or b["ttl"] < 600:
            raise Answer(422, {"code": "INVALID_BODY", "message": "ttl", "fields": [
                {"code": "UNEXPECTED", "message": "at least 600", "path": "records[0].ttl"}]})

    def throttle(self):
        raise Answer(429, {"code": "TOO_MANY_REQUESTS", "message": "slow down",
                           "retryAfterSec": 7})


class Ovh(Fake):
    def reset(self):
        super().reset()
        self.skew = 1000
        self.ids = {}
        self.pending_refresh = False

    def expire(self):
        self.skew += 5000

    def is_write(self, line):
        return line.startswith(self.writes) and not line.endswith("/refresh")

    def state(self):
        return {**super().state(), "unpublished": self.pending_refresh}

    def deny(self, status, code, message):
        raise Answer(status, {"class": "Client::Forbidden", "message": message, "errorCode": code,
                              "httpCode": f"{status} Forbidden"}, {"X-Ovh-QueryID": "EU.ext-1"})

    def authorize(self, r):
        h = r.headers
        if h.get("X-Ovh-Application") != "ovh-ak-secret":
            self.deny(403, "INVALID_KEY", "This application key is invalid")
        if self.revoked or h.get("X-Ovh-Consumer") != "ovh-ck-secret":
            self.deny(403, "INVALID_CREDENTIAL", "This credential is not valid")
        stamp = h.get("X-Ovh-Timestamp", "0")
        text = "+".join(["ovh-as-secret", "ovh-ck-secret", r.method, r.url, r.body.decode(), stamp])
        if h.get("X-Ovh-Signature") != "$1$" + hashlib.sha1(text.encode()).hexdigest():
            self.deny(400, "INVALID_SIGNATURE", "Invalid signature")
        if abs(int(stamp) - time.time() - self.skew) > 30:
            self.deny(400, "QUERY_TIME_OUT", "Query out of time")

    def id_of(self, name, value):
        return self.ids.setdefault((name, value), 5390038375 + len(self.ids))

    def api(self, r):
        s = r.segments
        if s == ["auth", "time"]:
            return int(time.time() + self.skew)
        self.authorize(r)
        assert s[:2] == ["domain", "zone"]
        if len(s) == 2:
            return [z["name"] for z in self.zones]
        zone = self.find_zone(s[2])
        if zone and zone.get("denied"):
            self.deny(403, "NOT_GRANTED_CALL", "This call has not been granted")
        if not zone:
            raise Answer(404, {"class": "Client::NotFound",
                               "message": "This service does not exist"})
        if len(s) == 3:
            return {"name": zone["name"], "hasDnsAnycast": False, "dnssecSupported": True}
        if s[3] == "refresh":
            assert r.method == "POST" and not r.body
            self.pending_refresh = False
            return None
        if r.method == "GET" and len(s) == 4:
            name = ".".join(filter(None, [r.query["subDomain"], zone["name"]]))
            assert r.query["fieldType"] == "TXT"
            ids = [self.id_of(name, v[0]) for v in self.records.get(name, [])]
            self.race(name, "read")
            return ids
        if r.method == "POST":
            b = r.json()
            name = ".".join(filter(None, [b["subDomain"], zone["name"]]))
            assert b["fieldType"] == "TXT" and b["ttl"] >= 60
            self.race(name, "write")
            self.records.setdefault(name, []).append([unquoted(b["target"]), b["ttl"]])
            self.pending_refresh = True
            return {"id": self.id_of(name, unquoted(b["target"])), "zone": zone["name"]}
        for (name, value), i in self.ids.items():
            if str(i) != s[4]:
                continue
            for v in self.records.get(name, []):
                if v[0] != value:
                    continue
                if r.method == "GET":
                    sub = name[:-len(zone["name"]) - 1]
                    return {"id": i, "zone": zone["name"], "fieldType": "TXT", "subDomain": sub,
                            "target": quoted(value), "ttl": v[1]}
                self.race(name, "write")
                self.records[name].remove(v)
                self.pending_refresh = True
                return None
        raise Answer(404, {"class": "Client::NotFound", "message": "The requested object does not "
                           "exist"})

    def refuse_all(self, r):
        if r.segments == ["auth", "time"]:
            raise Answer(200, int(time.time() + self.skew))
        super().refuse_all(r)


class Azure(Fake):
    def error(self, code, message):
        return {"error": {"code": code, "message": message}}

    def token(self, r):
        assert r.method == "POST" and r.segments == ["login", "t1", "oauth2", "v2.0", "token"]
        f = r.form()
        assert f["grant_type"] == "client_credentials"
        assert f["scope"] == "https://management.azure.com/.default"
        if self.revoked or f["client_secret"] != "az~se.c+re/t=":
            raise Answer(401, {"error": "invalid_client", "error_description": "AADSTS7000215: "
                               "Invalid client secret provided.", "error_codes": [7000215]})
        if f["client_id"] != "c1":
            raise Answer(400, {"error": "unauthorized_client", "error_description": "AADSTS700016",
                               "error_codes": [700016]})
        token = f"az-token-{self.next()}"
        self.tokens.add(token)
        return {"token_type": "Bearer", "expires_in": 3599, "access_token": token}

    def api(self, r):
        if r.segments[0] == "login":
            return self.token(r)
        if r.headers.get("Authorization", "")[7:] not in self.tokens or self.revoked:
            raise Answer(401, self.error("ExpiredAuthenticationToken", "The access token expired"))
        s = r.segments
        assert r.query["api-version"] == "2018-05-01"
        if s[:2] != ["subscriptions", "s1"]:
            raise Answer(404, self.error("SubscriptionNotFound", "no such subscription"))
        if s[2:4] != ["resourceGroups", "rg 1"]:
            raise Answer(404, self.error("ResourceGroupNotFound", "no such resource group"))
        assert s[4:7] == ["providers", "Microsoft.Network", "dnsZones"]
        zone = self.find_zone(s[7])
        if zone and zone.get("denied"):
            raise Answer(403, self.error("AuthorizationFailed", "does not have authorization"))
        if not zone:
            raise Answer(404, self.error("ResourceNotFound", "The Resource was not found"))
        if len(s) == 8:
            return {"name": zone["name"], "etag": "0000", "location": "global", "properties": {
                "zoneType": "Private" if zone["private"] else "Public"}}
        assert s[8] == "TXT"
        name = zone["name"] if s[9] == "@" else f"{s[9]}.{zone['name']}"
        if r.method == "GET":
            answer = self.view(s[9], name)
            self.race(name, "read")
            return answer
        self.race(name, "write")
        self.guard(r, name)
        if r.method == "DELETE":
            raise Answer(200 if self.records.pop(name, None) else 204)
        p = r.json()["properties"]
        values = []
        for rec in p["TXTRecords"]:
            assert all(len(c) <= 255 for c in rec["value"])
            values.append(["".join(rec["value"]), p["TTL"]])
        if not values or p.get("metadata", {}) != getattr(self, "metadata", {}).get(name, {}):
            raise Answer(400, self.error("BadRequest", "metadata was lost, or no records"))
        existed = bool(self.records.get(name))
        self.records[name] = values
        self.touch(name)
        raise Answer(200 if existed else 201, self.view(s[9], name))

    def guard(self, r, name):
        exists, tag = bool(self.records.get(name)), self.tags.get(name)
        if r.headers.get("If-None-Match") == "*" and exists:
            raise Answer(412, self.error("PreconditionFailed", "the record set exists"))
        wanted = r.headers.get("If-Match")
        if wanted and (not exists or wanted != tag):
            raise Answer(412, self.error("PreconditionFailed", "the record set was changed"))

    def view(self, rel, name):
        values = self.records.get(name)
        if not values:
            self.race(name, "read")
            raise Answer(404, self.error("NotFound", "The resource record was not found."))
        chunks = [[v[0][i:i + 255] for i in range(0, len(v[0]), 255)] for v in values]
        return {"name": rel, "type": "Microsoft.Network/dnszones/TXT", "etag": self.tags[name],
                "properties": {"metadata": getattr(self, "metadata", {}).get(name, {}),
                               "fqdn": name + ".", "TTL": values[0][1],
                               "TXTRecords": [{"value": c} for c in chunks],
                               "provisioningState": "Succeeded"}}

    def throttle(self):
        raise Answer(429, self.error("TooManyRequests", "slow down"), {"Retry-After": "7"})


class Gcloud(Fake):
    scope = "https://www.googleapis.com/auth/ndev.clouddns.readwrite"

    def error(self, code, message, status=403, reason=None):
        return {"error": {"code": status, "message": message, "errors": [
            {"domain": "global", "reason": reason or code, "message": message}]}}

    def fail(self, status, reason, message):
        raise Answer(status, self.error(reason, message, status))

    def token(self, r):
        f = r.form()
        assert f["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        head, claims, signature = f["assertion"].split(".")

        def part(s):
            assert "=" not in s
            return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))
        header, claim = json.loads(part(head)), json.loads(part(claims))
        assert header == {"alg": "RS256", "typ": "JWT", "kid": "kid1"}
        assert claim["aud"] == "https://oauth2.googleapis.com/token" and claim["scope"] == self.scope
        good = self.verify(f"{head}.{claims}".encode(), part(signature))
        fresh = abs(claim["iat"] - time.time()) < 600 and claim["exp"] - claim["iat"] <= 3600
        if self.revoked or not good or not fresh or claim["iss"] != "acme@p1.example.com":
            raise Answer(400, {"error": "invalid_grant",
                               "error_description": "Invalid JWT Signature."})
        token = f"ya29.token-{self.next()}"
        self.tokens.add(token)
        return {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}

    @staticmethod
    def verify(data, signature):
        with tempfile.NamedTemporaryFile() as d, tempfile.NamedTemporaryFile() as s:
            d.write(data)
            s.write(signature)
            d.flush()
            s.flush()
            return subprocess.run(["openssl", "dgst", "-sha256", "-verify", sys.argv[2],
                                   "-signature", s.name, d.name],
                                  capture_output=True).returncode == 0

    def api(self, r):
        if r.segments == ["token"]:
            return self.token(r)
        if r.headers.get("Authorization", "")[7:] not in self.tokens:
            self.fail(401, "authError", "Invalid Credentials")
        s = r.segments
        assert s[:3] == ["projects", "p1", "managedZones"]
        if len(s) == 3:
            return self.list_zones(r)
        zone = next(z for z in self.zones if z["id"] == s[3])
        if s[4] == "rrsets":
            name = r.query["name"].rstrip(".")
            assert r.query["type"] == "TXT" and r.query["name"].endswith(".")
            sets = [self.rrset(name)] if self.records.get(name) else []
            self.race(name, "read")
            return {"rrsets": sets}
        if len(s) == 6:
            if self.pending > 0:
                self.pending -= 1
                return {"id": s[5], "status": "pending"}
            return {"kind": "dns#change", "id": s[5], "status": "done"}
        return self.change(r, zone)

    def list_zones(self, r):
        found = [z for z in self.zones if z["name"] + "." == r.query["dnsName"]]
        start = int(r.query.get("pageToken", "0"))
        answer = {"kind": "dns#managedZonesListResponse"}
        if found[start:]:
            z = found[start]
            answer["managedZones"] = [{"name": z["id"], "dnsName": z["name"] + ".",
                                       "visibility": "private" if z["private"] else "public",
                                       "nameServers": ["ns1.example.net."]}]
        if found[start + 1:]:
            answer["nextPageToken"] = str(start + 1)
        return answer

    def rrset(self, name):
        values = self.records[name]
        return {"kind": "dns#resourceRecordSet", "name": name + ".", "type": "TXT",
                "ttl": values[0][1], "rrdatas": [quoted(v[0]) for v in values]}

    def change(self, r, zone):
        b = r.json()
        names = [x["name"].rstrip(".") for x in b.get("deletions", []) + b.get("additions", [])]
        assert names and all(n == names[0] and n.endswith(zone["name"]) for n in names)
        self.race(names[0], "write")
        old = self.records.get(names[0])
        for d in b.get("deletions", []):
            if not old:
                self.fail(404, "notFound", "The 'entity.change.deletions[0]' resource named "
                          f"'{d['name']} (TXT)' does not exist.")
            have = self.rrset(names[0])
            if any(have[k] != d[k] for k in ("name", "type", "ttl", "rrdatas")):
                self.fail(412, "conditionNotMet", "Precondition not met for "
                          "'entity.change.deletions[0]'")
        if b.get("additions") and old and not b.get("deletions"):
            self.fail(409, "alreadyExists", "The resource 'entity.change.additions[0]' named "
                      f"'{names[0]}. (TXT)' already exists")
        self.records.pop(names[0], None)
        for a in b.get("additions", []):
            assert all(d.startswith('"') for d in a["rrdatas"])
            self.records[names[0]] = [[unquoted(d), a["ttl"]] for d in a["rrdatas"]]
        status = "pending" if self.pending else "done"
        return {"kind": "dns#change", "id": str(self.next()), "status": status}

    def throttle(self):
        self.fail(403, "rateLimitExceeded", "Rate Limit Exceeded")


class Route53(Fake):
    namespace = "https://route53.amazonaws.com/doc/2013-04-01/"

    def xml(self, name, body):
        return f'<?xml version="1.0"?>\n<{name} xmlns="{self.namespace}">{body}</{name}>'

    def fail(self, status, code, message):
        message = message.replace("&", "&amp;").replace("<", "&lt;")
        raise Answer(status, self.xml("ErrorResponse", f"<Error><Type>Sender</Type><Code>{code}"
                     f"</Code><Message>{message}</Message></Error><RequestId>r1</RequestId>"),
                     {"Content-Type": "text/xml"})

    def invalid(self, message):
        raise Answer(400, self.xml("InvalidChangeBatch", f"<Messages><Message>{message}</Message>"
                     "</Messages><RequestId>r1</RequestId>"), {"Content-Type": "text/xml"})

    def refuse_all(self, r):
        self.fail(403, "SignatureDoesNotMatch", f"{dict(r.headers)}")

    def authorize(self, r):
        m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/us-east-1/route53/"
                         r"aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
                         r.headers.get("Authorization", ""))
        if not m or m[1] != "AKIAEXAMPLE" or self.revoked:
            self.fail(403, "InvalidClientTokenId", "The security token included is invalid")
        names = m[3].split(";")
        assert "host" in names and "x-amz-date" in names and names == sorted(names)
        pairs = sorted(p if "=" in p else p + "=" for p in r.query_text.split("&") if p)
        canonical = "\n".join([r.method, r.path, "&".join(pairs),
                               *(f"{n}:{r.headers[n].strip()}" for n in names), "", m[3],
                               hashlib.sha256(r.body).hexdigest()])
        date = r.headers["X-Amz-Date"]
        text = "\n".join(["AWS4-HMAC-SHA256", date, f"{m[2]}/us-east-1/route53/aws4_request",
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = b"AWS4aws+secret/key"
        for p in (m[2], "us-east-1", "route53", "aws4_request"):
            key = hmac.new(key, p.encode(), hashlib.sha256).digest()
        if hmac.new(key, text.encode(), hashlib.sha256).hexdigest() != m[4]:
            self.fail(403, "SignatureDoesNotMatch", "The request signature we calculated does not "
                      "match the signature you provided.")

    def answer(self, name, body):
        raise Answer(200, self.xml(name, body), {"Content-Type": "text/xml"})

    def api(self, r):
        self.authorize(r)
        s = r.segments
        assert s[0] == "2013-04-01"
        if s[1] == "hostedzonesbyname":
            self.list_zones(r)
        if s[1] == "change":
            status = "PENDING" if self.pending > 0 else "INSYNC"
            self.pending = max(0, self.pending - 1)
            self.answer("GetChangeResponse", self.change_info(s[2], status))
        zone = next((z for z in self.zones if z["id"] == s[2]), None)
        if not zone:
            self.fail(404, "NoSuchHostedZone", f"No hosted zone found with ID: {s[2]}")
        if len(s) == 3:
            self.answer("GetHostedZoneResponse", self.zone_xml(zone))
        if r.method == "GET":
            self.list_sets(r)
        self.change(r, zone)

    def change_info(self, i, status):
        return (f"<ChangeInfo><Id>/change/{i}</Id><Status>{status}</Status>"
                "<SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt></ChangeInfo>")

    def zone_xml(self, z):
        config = "<Config><PrivateZone>true</PrivateZone></Config>" if z["private"] else ""
        return (f"<HostedZone><Id>/hostedzone/{z['id']}</Id><Name>{z['name']}.</Name>{config}"
                "</HostedZone>")

    def list_zones(self, r):
        def order(name):
            return name.rstrip(".").split(".")[::-1]
        zones = sorted(self.zones, key=lambda z: (order(z["name"]), z["id"]))
        start = (order(r.query["dnsname"]), r.query.get("hostedzoneid", ""))
        zones = [z for z in zones if (order(z["name"]), z["id"]) >= start]
        size = min(int(r.query["maxitems"]), 2)  # pages of two, whatever is asked for
        more = ""
        if zones[size:]:
            more = (f"<NextDNSName>{zones[size]['name']}.</NextDNSName><NextHostedZoneId>"
                    f"{zones[size]['id']}</NextHostedZoneId>")
        self.answer("ListHostedZonesByNameResponse", "<HostedZones>" +
                    "".join(self.zone_xml(z) for z in zones[:size]) + "</HostedZones>" +
                    f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}"
                    "<MaxItems>100</MaxItems>")

    def list_sets(self, r):
        name, body = r.query["name"].rstrip("."), ""
        assert r.query["type"] == "TXT"
        values = self.records.get(name)
        if values:
            body = self.set_xml(name, values)
        # The list goes on behind the place where the set is or would be.
        body += ("<ResourceRecordSet><Name>_zzz.example.com.</Name><Type>TXT</Type><TTL>5</TTL>"
                 "<ResourceRecords><ResourceRecord><Value>\"neighbour\"</Value></ResourceRecord>"
                 "</ResourceRecords></ResourceRecordSet>")
        self.race(name, "read")
        self.answer("ListResourceRecordSetsResponse", f"<ResourceRecordSets>{body}"
                    "</ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>1</MaxItems>")

    def set_xml(self, name, values):
        escaped = name.replace("_", "\\137")
        records = "".join(f"<ResourceRecord><Value>{self.escape(quoted(v[0]))}</Value>"
                          "</ResourceRecord>" for v in values)
        return (f"<ResourceRecordSet><Name>{escaped}.</Name><Type>TXT</Type>"
                f"<TTL>{values[0][1]}</TTL><ResourceRecords>{records}</ResourceRecords>"
                "</ResourceRecordSet>")

    @staticmethod
    def escape(s):
        return s.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")

    def change(self, r, zone):
        assert r.headers["Content-Type"] == "application/xml"
        ns = "{" + self.namespace + "}"
        changes = []
        for c in ET.fromstring(r.body).iter(ns + "Change"):
            rrset = c.find(ns + "ResourceRecordSet")
            name = rrset.find(ns + "Name").text.rstrip(".")
            ttl = int(rrset.find(ns + "TTL").text)
            values = [[unquoted(v.text), ttl] for v in rrset.iter(ns + "Value")]
            assert all(v.text.startswith('"') for v in rrset.iter(ns + "Value"))
            changes.append((c.find(ns + "Action").text, name, values))
        for action, name, _ in changes:
            if self.forbidden and action in self.forbidden:
                self.fail(403, "AccessDenied", f"not authorized to perform {action}")
            if not name.endswith(zone["name"]):
                self.invalid(f"RRSet with DNS name {name}. is not permitted in zone "
                             f"{zone['name']}.")
        self.race(changes[0][1], "write")
        after = {k: list(v) for k, v in self.records.items()}
        for action, name, values in changes:
            where = f"[name='{name}.', type='TXT']"
            if action == "CREATE" and after.get(name):
                self.invalid(f"Tried to create resource record set {where} but it already exists")
            if action == "DELETE":
                if not after.get(name):
                    self.invalid(f"Tried to delete resource record set {where} but it was not "
                                 "found")
                if after[name] != values:
                    self.invalid(f"Tried to delete resource record set {where} but the values "
                                 "provided do not match the current values")
                del after[name]
            else:
                after[name] = values
        self.records = after
        self.answer("ChangeResourceRecordSetsResponse",
                    self.change_info("C1ABC", "PENDING" if self.pending else "INSYNC"))

    def throttle(self):
        self.fail(400, "Throttling", "Rate exceeded")


class AcmeDns(Fake):
    def api(self, r):
        assert r.segments == ["update"] and r.method == "POST"
        b = r.json()
        if self.revoked or (r.headers.get("X-Api-User"), r.headers.get("X-Api-Key"),
                            b["subdomain"]) != ("ad-user", "ad-password-secret", "ad-sub"):
            raise Answer(401, {"error": "forbidden"})
        if not re.fullmatch("[A-Za-z0-9_-]{43}", b["txt"]):
            raise Answer(400, {"error": "bad_txt"})
        slots = self.records.setdefault("_acme-challenge.example.com", [])
        slots.append([b["txt"], 1])
        del slots[:-2]
        return {"txt": b["txt"]}

    def is_write(self, line):
        return False


FAKES = {"azure": Azure, "cloudflare": Cloudflare, "dnsimple": Dnsimple, "gandi": Gandi,
         "gandiv5": Gandi, "gcloud": Gcloud, "godaddy": Godaddy, "ovh": Ovh, "route53": Route53,
         "acme-dns": AcmeDns}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    fake = None

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        base = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.path == "/_control":
            with self.fake.lock:
                self.fake.control(json.loads(body))
            return self.reply(200, "{}", {})
        if self.path == "/_state":
            with self.fake.lock:
                return self.reply(200, json.dumps(self.fake.state()), {})
        request = Request(self.command, self.path, self.headers, body, base)
        if self.fake.delay:
            time.sleep(self.fake.delay)
        with self.fake.lock:
            self.fake.log.append(f"{self.command} {self.path}")
            try:
                status, answer, headers = 200, self.fake.handle(request), {}
            except Answer as a:
                status, answer, headers = a.status, a.body, a.headers
        if isinstance(answer, str):
            return self.reply(status, answer, headers)
        text = "" if status == 204 else json.dumps(answer)
        return self.reply(status, text, {**JSON, **headers})

    def reply(self, status, text, headers):
        data = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            pass  # the client was too hasty

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def log_message(self, *args):
        pass


def main():
    Handler.fake = FAKES[sys.argv[1]]()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
