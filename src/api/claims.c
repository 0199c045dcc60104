/* claims.c - names that others hold or held: the proof that is asked for, and taking them. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/conf.h>
#include <postern/crypto.h>
#include <postern/name.h>
#include <postern/resolve.h>

#include "claims.h"
#include "domain_add.h"
#include "slots.h"

#define LABEL  "_postern-challenge."
#define PREFIX "postern-proof="

enum { MAC_BYTES = 20, DAY_MS = 86400000 };

/* ---- the records ---- */

int pst_proof_value(const struct pst_secret *key, const char *user_id, const char *base,
                    char ret[PST_PROOF_VALUE_SIZE], struct pst_err *err)
{
    char text[PST_ID_SIZE + PST_NAME_SIZE + 32], hex[2 * MAC_BYTES + 1];
    uint8_t mac[PST_SHA256_LEN];

    snprintf(text, sizeof text, "name proof 1\n%s\n%s", user_id, base);
    int rc = pst_hmac_sha256(key->data, key->len, text, strlen(text), mac, err);
    if (rc != PST_OK)
        return rc;
    pst_hex(hex, mac, MAC_BYTES);
    snprintf(ret, PST_PROOF_VALUE_SIZE, PREFIX "%s", hex);
    return PST_OK;
}

/* Without room for the label there is no such record. */
static int add_record(const struct pst_req *req, struct pst_claim *c, const char *base,
                      struct pst_err *err)
{
    struct pst_proof_record *r = &c->records[c->records_n];

    if (strlen(LABEL) + strlen(base) >= sizeof r->name)
        return PST_OK;
    pst_str_copy(r->base, sizeof r->base, base);
    snprintf(r->name, sizeof r->name, LABEL "%s", base);
    c->records_n++;
    return pst_proof_value(&req->api->proof_key, c->user_id, base, r->value, err);
}

static int make_records(const struct pst_req *req, struct pst_claim *c, struct pst_err *err)
{
    const char *base = pst_name_is_wildcard(c->ascii) ? c->ascii + 2 : c->ascii;
    char registered[PST_NAME_SIZE];

    c->records_n = 0;
    int rc = pst_name_registered_domain(base, registered, err);
    if (rc == PST_OK)
        rc = add_record(req, c, base, err);
    if (rc == PST_OK && !pst_streq(registered, base))
        rc = add_record(req, c, registered, err);
    return rc;
}

/* ---- looking for them ---- */

static bool has_value(const struct pst_resolve_records *txt, const char *value)
{
    for (size_t i = 0; i < txt->n; i++)
        if (pst_streq(txt->texts[i], value))
            return true;
    return false;
}

static void add_evidence(struct pst_buf *to, const struct pst_proof_record *r,
                         const struct pst_resolve_records *txt)
{
    pst_buf_printf(to, "%s%.100s: ", to->len ? "; " : "", r->name);
    if (txt->end.status != PST_DNS_OK)
        pst_buf_str(to, pst_dns_status_name(txt->end.status));
    else if (txt->chain_n)
        pst_buf_str(to, "a CNAME, which does not count");
    else if (has_value(txt, r->value))
        pst_buf_str(to, "is there");
    else
        pst_buf_printf(to, "%zu TXT record%s, none with this value", txt->n,
                       txt->n == 1 ? "" : "s");
}

static int ask(const struct pst_req *req, struct pst_claim *c, struct pst_err *err)
{
    auto_buf struct pst_buf evidence = PST_BUF(sizeof c->evidence * 4);
    struct pst_resolve_records *txt[PST_PROOF_PLACES];
    const char *names[PST_PROOF_PLACES] = {NULL};

    for (size_t i = 0; i < c->records_n; i++)
        names[i] = c->records[i].name;
    int rc = pst_resolve_txt_all(req->api->opts.proofs, names, c->records_n, txt, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "looking for a proof");
    for (size_t i = 0; i < c->records_n; i++) {
        add_evidence(&evidence, &c->records[i], txt[i]);
        c->seen |= txt[i]->end.status == PST_DNS_OK && txt[i]->chain_n == 0 &&
                   has_value(txt[i], c->records[i].value);
        pst_resolve_records_free(txt[i]);
    }
    snprintf(c->evidence, sizeof c->evidence, "%s", pst_buf_cstr(&evidence));
    return pst_buf_check(&evidence, "what the DNS says", err);
}

static int look_in_dns(struct pst_req *req, struct pst_claim *c, struct pst_answer *ans,
                       struct pst_err *err)
{
    struct pst_slots *slots = req->api->proofs;

    if (!req->api->opts.proofs || c->records_n == 0)
        return PST_OK;
    if (!pst_slot_take(slots, c->user_id)) {
        int rc = pst_answer_error(ans, 429, "a proof is being looked for already; try again");
        ans->retry_after_s = 1;
        return rc;
    }
    int rc = ask(req, c, err);
    pst_slot_give(slots, c->user_id);
    return rc;
}

/* ---- judging ---- */

static int hold_of(const struct pst_req *req, struct pst_tx *tx, const struct pst_claim *c,
                   enum pst_hold *ret, struct pst_domain *ret_holder, struct pst_err *err)
{
    int64_t days = pst_conf_int(req->api->set.conf, PST_CONF_NAMES_RELEASE_DAYS);
    int64_t now_ms = pst_wall_ms(req->api->opts.clock);
    struct pst_hold_question q = {
        .ascii = c->ascii,
        .user_id = c->user_id,
        .released_after_ms = days ? now_ms - days * DAY_MS : INT64_MAX,
    };

    return pst_name_hold(tx, &q, ret, ret_holder, err);
}

struct look {
    struct pst_req *req;
    struct pst_claim *c;
};

static int look_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct look *l = arg;
    struct pst_domain holder;

    int rc = hold_of(l->req, tx, l->c, &l->c->hold, &holder, err);
    if (rc == PST_OK)
        pst_str_copy(l->c->holder_id, sizeof l->c->holder_id, holder.id);
    l->c->looked = rc == PST_OK;
    return rc;
}

static bool needs_proof(const struct pst_claim *c)
{
    return c->hold != PST_HOLD_FREE && c->hold != PST_HOLD_OWN;
}

void pst_claim_init(struct pst_claim *c, const char *ascii, const struct pst_app *app)
{
    *c = (struct pst_claim){0};
    pst_str_copy(c->ascii, sizeof c->ascii, ascii);
    pst_str_copy(c->user_id, sizeof c->user_id, app->user_id);
}

int pst_claim_look(struct pst_req *req, struct pst_claim *c, bool always, struct pst_answer *ans,
                   struct pst_err *err)
{
    struct look l = {req, c};

    if (c->skip_proof && req->user.role != PST_ROLE_OPERATOR)
        return pst_answer_invalid(ans, "skip_proof", "only an operator may skip the proof");
    int rc = pst_store_read(req->api->opts.store, look_tx, &l, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "who holds a name");
    if (!always && (!needs_proof(c) || c->skip_proof))
        return PST_OK;
    rc = make_records(req, c, err);
    return rc == PST_OK ? look_in_dns(req, c, ans, err) : rc;
}

/* ---- what is told ---- */

static int proof_json(const struct pst_claim *c, struct pst_json **ret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    bool ok = list != NULL;

    for (size_t i = 0; i < c->records_n && ok; i++) {
        auto_(pst_json_free) struct pst_json *r = pst_json_object();
        ok = pst_json_set_text(r, "name", c->records[i].name) &&
             pst_json_set_text(r, "type", "TXT") &&
             pst_json_set_text(r, "value", c->records[i].value) &&
             pst_json_push(list, pst_take(&r));
    }
    if (!ok || !pst_json_set_text(j, "name", c->ascii) ||
        !pst_json_set_bool(j, "needed", needs_proof(c)) || !pst_json_set_bool(j, "seen", c->seen) ||
        !pst_json_set(j, "records", pst_take(&list)) ||
        !(c->evidence[0] ? pst_json_set_text(j, "evidence", c->evidence)
                         : pst_json_set_null(j, "evidence")))
        return pst_fail_nomem(err, "a proof");
    *ret = pst_take(&j);
    return PST_OK;
}

/* The record to make.  That another has the name is said, because clients look for these words;
 * whether it was given up or shares a wildcard is not theirs to know. */
static void refusal_text(const struct pst_claim *c, struct pst_buf *to)
{
    bool taken = c->hold == PST_HOLD_TAKEN;
    const struct pst_proof_record *r = c->records;

    if (c->records_n == 0) {
        pst_buf_str(to, taken ? "has already been taken" : "can only be added by an operator");
        return;
    }
    pst_buf_printf(to, "%s: make the DNS record %s TXT \"%s\" and add it again",
                   taken ? "has already been taken; if it is yours, take it over with a proof"
                         : "can only be added with a proof that it is yours",
                   r->name, r->value);
    if (c->evidence[0])
        pst_buf_printf(to, " (looked for just now: %s)", c->evidence);
}

static int refuse(struct pst_req *req, struct pst_claim *c, struct pst_answer *ans,
                  struct pst_err *err)
{
    auto_buf struct pst_buf text = PST_BUF(2048);
    auto_(pst_json_free) struct pst_json *texts = pst_json_array();
    auto_(pst_json_free) struct pst_json *errors = pst_json_object();
    auto_(pst_json_free) struct pst_json *proof = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    int rc = make_records(req, c, err);
    refusal_text(c, &text);
    if (rc == PST_OK)
        rc = pst_buf_check(&text, "a refusal", err);
    if (rc == PST_OK)
        rc = proof_json(c, &proof, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_push_text(texts, pst_buf_cstr(&text)) ||
        !pst_json_set(errors, "name", pst_take(&texts)) ||
        !pst_json_set(j, "errors", pst_take(&errors)) ||
        !pst_json_set(j, "proof", pst_take(&proof)))
        return pst_fail_nomem(err, "a refusal");
    rc = pst_answer_json(ans, 422, j, err);
    return rc == PST_OK ? PST_REFUSED : rc;
}

/* ---- taking ---- */

/* The loser hears of it from the platform: who took the name is nobody's business. */
static int lost_event(struct pst_tx *tx, const struct pst_domain *lost, bool by_operator,
                      struct pst_err *err)
{
    struct pst_event e = {.kind = "domain.lost", .actor = "system"};

    pst_str_copy(e.app_id, sizeof e.app_id, lost->app_id);
    pst_str_copy(e.domain_id, sizeof e.domain_id, lost->id);
    snprintf(e.text, sizeof e.text, "%s was removed: %s", lost->name,
             by_operator ? "an operator gave it to another account"
                         : "another account proved by a DNS record that the name is its own");
    return pst_event_append(tx, &e, err);
}

int pst_claim_judge(struct pst_req *req, struct pst_tx *tx, struct pst_claim *c,
                    const struct pst_app *app, struct pst_answer *ans, struct pst_err *err)
{
    struct pst_domain holder;

    c->evicted = false;
    if (!pst_streq(c->user_id, app->user_id)) /* another app of this name since the first look */
        return pst_answer_absent(ans, "app");
    int rc = pst_name_lock(tx, c->ascii, err);
    if (rc == PST_OK)
        rc = hold_of(req, tx, c, &c->hold, &holder, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "who holds a name");
    if (c->hold == PST_HOLD_FREE)
        return PST_OK;
    if (c->hold == PST_HOLD_OWN)
        return pst_answer_invalid(ans, "name", "has already been taken");
    if (!c->seen && !c->skip_proof)
        return refuse(req, c, ans, err);
    /* The proof was against another holder: of two at the same moment the first one wins. */
    if (c->hold == PST_HOLD_TAKEN && !pst_streq(holder.id, c->holder_id))
        return pst_answer_invalid(ans, "name", "has already been taken%s",
                                  c->looked ? " at this moment; add it again to take it over" : "");
    return PST_OK;
}

int pst_claim_take(struct pst_req *req, struct pst_tx *tx, struct pst_claim *c, struct pst_err *err)
{
    struct pst_domain holder;

    if (c->hold != PST_HOLD_TAKEN)
        return PST_OK;
    int rc = pst_domain_get(tx, c->holder_id, &holder, err);
    if (rc == PST_OK)
        rc = pst_domain_delete(tx, holder.id, err);
    if (rc == PST_OK)
        rc = lost_event(tx, &holder, !c->seen, err);
    if (rc == PST_OK)
        rc = pst_req_effect(req, PST_DOMAIN_REMOVED, holder.id, holder.ascii, err);
    c->evicted = rc == PST_OK;
    return rc <= 0 ? rc : pst_unexpected(err, rc, "taking a name over");
}

int pst_claim_event(struct pst_req *req, struct pst_tx *tx, const struct pst_claim *c,
                    const struct pst_domain *d, struct pst_err *err)
{
    if (!needs_proof(c))
        return PST_OK;
    if (!c->seen)
        return pst_req_event(req, tx, "domain.claimed", d->app_id, d->id, err,
                             "%s was added without a proof, on an operator's word", d->name);
    return pst_req_event(req, tx, "domain.claimed", d->app_id, d->id, err,
                         "%s was added with a proof: a DNS record shows that it is yours", d->name);
}

/* ---- asking for the record ---- */

struct proof {
    struct pst_req *req;
    struct pst_answer *ans;
    struct pst_app app;
};

static int find_app_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct proof *p = arg;

    return pst_req_app(p->req, tx, &p->app, p->ans, err);
}

int pst_domains_proof(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *proof = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct proof p = {.req = req, .ans = ans};
    struct pst_domain d = {0};
    struct pst_claim c;

    (void)tx;
    int rc = pst_store_read(req->api->opts.store, find_app_tx, &p, err);
    if (rc == PST_OK)
        rc = pst_domain_name(req, req->params[1], &d, ans);
    if (rc != PST_OK)
        return rc;
    pst_claim_init(&c, d.ascii, &p.app);
    rc = pst_claim_look(req, &c, true, ans, err);
    if (rc == PST_OK)
        rc = proof_json(&c, &proof, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "proof", pst_take(&proof)))
        return pst_fail_nomem(err, "the proof");
    return pst_answer_json(ans, 200, j, err);
}
