"""The CAs as a resource: the account there, what its directory says, whether it answers."""

from api_testd import Api

ASKED = ("reachable", "answered_at", "failed_at", "failure", "terms_of_service", "website",
         "external_account_required", "renewal_info", "issuers", "profiles")


def test_what_is_stored_of_a_ca():
    api = Api("names.any_tld=true", "acme.orders_limit=7")
    app = api.call("POST", "/v1/apps", {"app": {"name": "cas"}}, user="alice").json["app"]
    assert api.call("GET", "/v1/cas", user="olga").json == {"cas": []}
    d = api.call("POST", f"/v1/apps/{app['id']}/domains", {"domain": {"name": "a.example.com"}},
                 user="alice").json["domain"]
    api.do("order", id=d["id"])
    ca = api.call("GET", "/v1/cas", user="olga").json["cas"][0]
    assert ca["directory"] == "https://ca.example/directory" and ca["status"] == "valid"
    assert all(ca[m] is None for m in ASKED) and ca["in_use"] is False
    assert [(x["limit"], x["left"]) for x in ca["limits"]] == [
        ("orders-per-account", 7), ("certificates-per-domain", None),
        ("failed-authorizations", None)]
    assert api.call("GET", f"/v1/cas/{ca['id']}", user="olga").json == {"ca": ca}
    gone = api.call("GET", "/v1/cas/nobody", user="olga")
    assert gone.status == 404 and gone.json == {"resource": "ca", "error": "not found"}
    for path in ("/v1/cas", f"/v1/cas/{ca['id']}"):
        for user in ("alice", "rita"):
            assert api.call("GET", path, user=user).status == 403
    assert "sealed" not in api.call("GET", "/v1/cas", user="olga").text
    api.close()


def test_what_the_ca_says(shared):
    shared.app("cas-app")
    ca = shared.stack.call("GET", "/v1/cas")["cas"][0]
    assert ca["in_use"]
    ca = shared.stack.call("GET", f"/v1/cas/{ca['id']}")["ca"]
    assert ca["reachable"] is True and ca["answered_at"] and ca["failure"] is None
    assert ca["external_account_required"] is False
    assert ca["terms_of_service"].startswith("data:text/plain,") or "://" in ca["terms_of_service"]
    assert isinstance(ca["profiles"], list) and ca["renewal_info"] is True
    shared.add("cas-app", "cas.example.com")
    ca = shared.stack.call("GET", f"/v1/cas/{ca['id']}")["ca"]
    assert ca["account_url"] and ca["terms_agreed_at"]
    orders = ca["limits"][0]
    assert orders["left"] == orders["of"] - 1
    told = shared.cli("cas", ca["id"])
    for line in (f"Directory          {ca['directory']}", "Answers            yes",
                 "Needs binding      no", f"Limits             {orders['left']} of"):
        assert line in told, told
    assert ca["id"] in shared.cli("cas") and "yes" in shared.cli("cas")
    # Without the CA: its last answer stays, and why there is none now stands beside.
    shared.stack.stop("pebble")
    shared.cli("domains-add", "down.example.com", app="cas-app")
    shared.point("down.example.com")
    from stack import wait_for
    wait_for("the CA is missed", lambda: shared.stack.call("GET", "/v1/cas")["cas"][0]["reachable"]
             is False, 40)
    ca = shared.stack.call("GET", "/v1/cas")["cas"][0]
    assert ca["failed_at"] >= ca["answered_at"] and ca["failure"]
