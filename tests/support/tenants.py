"""Tenants with one of everything, and one who has nothing but the same names' shapes."""

import hashlib
import secrets

from api_testd import Api
from certs import Authority

HEX = "0123456789abcdef"


def v2_id(kind, own):
    """An id in the form of /v2."""
    return f"{kind}_{own[:8]}-{own[8:12]}-4{own[12:15]}-8{own[15:18]}-{own[18:]}000000"


class Tenant:
    """What one account has: words for a path or a body by the kind of object."""

    def __init__(self, user, mark):
        self.user, self.mark = user, mark
        self.id = {}      # kind -> id
        self.name = {}    # kind -> name, where an object has one
        self.values = []  # texts that nobody else may see

    def word(self, kind):
        return self.id.get(kind) or self.name[kind]

    def forms(self, kind):
        """Every way to write this object in a path."""
        found = [w for w in (self.id.get(kind), self.name.get(kind)) if w]
        if kind in ("app", "user"):
            found.append(v2_id(kind, self.id[kind]))
        if kind == "domain":
            found += [self.name[kind].upper(), self.name[kind] + "."]
        return found + [found[0].upper()]

    def needles(self):
        return [*self.id.values(), *self.name.values(), *self.values]


def nobody(like):
    """Words of the same shapes for objects that are not there."""
    mark = "".join(secrets.choice(HEX) for _ in like.mark)
    none = Tenant("nobody", mark)
    none.id = {kind: secrets.token_hex(12) for kind in like.id}
    none.name = {kind: name.replace(like.mark, mark) for kind, name in like.name.items()}
    none.name["upstream"] = "10.20.255.255:9" + like.name["upstream"][-3:]
    return none


class Platform:
    """The API with its accounts, on one of the databases."""

    def __init__(self, folder, *settings):
        self.api = Api("names.any_tld=true", "upstream.allow=10.20.0.0/16", "app.domains_max=100",
                       *settings)
        self.ca = Authority(folder / "ca")
        self.n = 0

    def call(self, *args, **more):
        return self.api.call(*args, **more)

    def made(self, method, path, body, user, *keys):
        answer = self.call(method, path, body, user=user)
        assert answer.status in (200, 201, 202), (method, path, answer)
        found = answer.json
        for key in keys:
            found = found[key]
        return found

    def account(self):
        """The name of a new tenant."""
        name = "u" + secrets.token_hex(6)
        self.api.tokens[name] = self.made("POST", "/v1/users", {"user": {
            "username": name, "email": f"{name}@example.com"}}, "olga", "token")
        return name

    def certificate(self, t):
        chain, key = self.ca.leaf(t.name["domain"])
        t.values.append(hashlib.sha256(self.ca.der(chain)).hexdigest())
        return chain.read_text(), key.read_text()

    def furnish(self, user, certificate=False):
        """One of everything for an account."""
        self.n += 1
        t = Tenant(user, secrets.token_hex(5))
        me = self.made_get("/v1/users/self", user)["user"]
        t.id["user"], t.name["user"] = me["id"], me["username"]
        t.values.append(me["email"])
        self._apps(t)
        self._domains(t, certificate)
        self._around(t)
        return t

    def made_get(self, path, user):
        answer = self.call("GET", path, user=user)
        assert answer.status == 200, (path, answer)
        return answer.json

    def _apps(self, t):
        for kind in ("app", "other-app"):
            t.name[kind] = f"{kind}-{t.mark}"
            t.id[kind] = self.made("POST", "/v1/apps", {"app": {"name": t.name[kind]}}, t.user,
                                   "app", "id")
        path = f"/v1/apps/{t.id['app']}"
        t.name["upstream"] = f"10.20.{self.n % 250}.7:{9000 + self.n}"
        t.id["upstream"] = self.made("PUT", path + "/upstreams", {"upstreams": [
            {"address": t.name["upstream"]}]}, t.user, "upstreams")[0]["id"]
        t.name["variable"] = f"NAME_{t.mark}"
        t.values.append(f"value-of-{t.mark}")
        t.id["variable"] = self.made("POST", path + "/variables", {"variable": {
            "name": t.name["variable"], "value": t.values[-1]}}, t.user, "variable", "id")
        restart = self.call("POST", path + "/restart", None, user=t.user)
        assert restart.status == 202, restart
        t.id["operation"] = restart.headers["Location"].rsplit("/", 1)[1]

    def _domains(self, t, certificate):
        path = f"/v1/apps/{t.id['app']}/domains"
        for kind, name in (("domain", f"www.{t.mark}.test"), ("wildcard", f"*.w{t.mark}.test")):
            t.name[kind] = name
            t.id[kind] = self.made("POST", path, {"domain": {"name": name}}, t.user, "domain", "id")
        t.id["csr"] = self.made("POST", f"{path}/{t.id['domain']}/csr", {"csr": {
            "organization": f"Company {t.mark}"}}, t.user, "csr", "id")
        if certificate:
            chain, key = self.certificate(t)
            self.made("PATCH", f"{path}/{t.id['domain']}", {"domain": {
                "tlscert": chain, "tlskey": key}}, t.user)
        self.made("PUT", f"/v2/self/applications/{t.id['app']}/vhosts/favourite",
                  {"fqdn": t.name["domain"]}, t.user)

    def _around(self, t):
        hook = self.made("POST", "/v1/webhooks", {"webhook": {
            "url": f"https://hooks.example.com/{t.mark}", "app": t.id["app"]}}, t.user, "webhook")
        t.id["webhook"] = hook["id"]
        t.values += [hook["secret"], hook["url"]]
        kept, key = self.ca.leaf(f"*.kept-{t.mark}.test")
        self.made("POST", "/v2/certificates/new", {"pem": key.read_text() + kept.read_text()},
                  t.user)
        t.id["bundle"] = self.made_get("/v1/bundles", t.user)["bundles"][0]["id"]
        t.values += [f"kept-{t.mark}", hashlib.sha256(self.ca.der(kept)).hexdigest()]
        token = self.made("POST", "/v1/tokens", {"token": {"name": f"token of {t.mark}"}}, t.user,
                          "token")
        t.id["token"] = token["id"]
        t.values += [token["token"], token["name"]]
        t.id["import"] = self.made("POST", "/v1/imports", {"import": {"app": t.id["app"]}}, t.user,
                                   "import", "id")
        lines = self.call("PUT", f"/v1/imports/{t.id['import']}/lines?from=1", user=t.user,
                          raw_body=f'{{"name":"bad_{t.mark}"}}\n'.encode())
        assert lines.status == 200 and lines.json["import"]["refused"] == 1, lines
        t.values.append(f"bad_{t.mark}")

