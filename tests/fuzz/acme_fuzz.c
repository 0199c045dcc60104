/*
 * acme_fuzz.c - what a CA sends, against any bytes: the first one picks the object that the rest
 * is read as.  Whatever is taken must keep what acme.h promises about it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <postern/clock.h>
#include <postern/err.h>
#include <postern/text.h>

#include "../../src/acme/acme_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pst_acme_ca *the_ca(void)
{
    static struct pst_acme_ca *ca;
    struct pst_acme_ca_opts opts = {.directory_url = "https://ca.example/dir"};

    if (!ca)
        pst_require(pst_acme_ca_new(&ca, &opts, NULL) == PST_OK);
    return ca;
}

static void check_url(const char *url)
{
    pst_require(url && strncasecmp(url, "https://", 8) == 0 && strlen(url) <= PST_ACME_URL_MAX);
}

static void check_problem(const struct pst_acme_problem *p)
{
    struct pst_acme_advice advice;
    struct pst_err err;

    pst_require(p->type > PST_ACME_NONE && p->type < PST_ACME_PROBLEM_TYPE__COUNT);
    pst_require(p->subproblems_n <= PST_ACME_SUBPROBLEMS_MAX);
    pst_require(pst_utf8_ok(p->detail, strlen(p->detail)));
    for (const char *s = p->detail; *s; s++)
        pst_require((unsigned char)*s >= ' ' && *s != 0x7f);
    for (unsigned where = PST_ACME_ON_REQUEST; where <= PST_ACME_ON_CHALLENGE; where++) {
        pst_acme_problem_advice(p, where, 1784646000, &advice, &err);
        pst_require(advice.user && err.rc == PST_EREMOTE);
    }
}

static void try_directory(const struct pst_json *j)
{
    struct pst_acme_dir *d = NULL;

    if (pst_acme_dir_parse(the_ca(), j, &d, NULL))
        return;
    check_url(d->url[PST_ACME_NEW_ORDER]);
    pst_acme_directory_has_profile(&d->public, "classic");
    pst_acme_dir_unref(d);
}

static void try_order(const struct pst_json *j)
{
    struct pst_acme_order *o = NULL;

    if (pst_acme_order_parse(the_ca(), j, &o, NULL))
        return;
    pst_require(o->authz_n > 0 && o->authz_n <= PST_ACME_NAMES_MAX && o->names_n > 0);
    pst_require((o->certificate != NULL) == (o->status == PST_ACME_ORDER_VALID));
    check_url(o->finalize);
    for (size_t i = 0; i < o->authz_n; i++)
        check_url(o->authz[i]);
    if (o->error)
        check_problem(o->error);
    pst_acme_order_free(o);
}

static void try_authz(const struct pst_json *j)
{
    struct pst_acme_authz *a = NULL;

    if (pst_acme_authz_parse(the_ca(), j, &a, NULL))
        return;
    pst_require(a->name && a->challenges_n <= PST_ACME_CHALLENGES_MAX);
    for (size_t i = 0; i < a->challenges_n; i++) {
        const struct pst_acme_challenge *c = &a->challenges[i];
        check_url(c->url);
        if (c->token)
            pst_require(pst_acme_is_b64url(c->token, PST_ACME_TOKEN_MAX));
        else
            pst_require(c->type == PST_ACME_DNS_PERSIST_01 || c->type == PST_ACME_CHALLENGE_OTHER);
        if (c->error)
            check_problem(c->error);
    }
    (void)pst_acme_authz_error(a);
    pst_acme_authz_free(a);
}

static void try_problem(const struct pst_json *j)
{
    struct pst_acme_problem p;

    pst_acme_problem_parse(j, 0, &p);
    check_problem(&p);
}

static void try_renewal(const struct pst_json *j)
{
    struct pst_acme_renewal r;

    if (pst_acme_renewal_parse(j, &r, NULL) == PST_OK)
        pst_require(r.start_at_ms < r.end_at_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(const struct pst_json *) = {try_directory, try_order, try_authz,
                                                             try_problem, try_renewal};
    struct pst_json *j = NULL;

    if (size < 1 || pst_json_parse(&j, (const char *)data + 1, size - 1, NULL))
        return 0;
    tries[data[0] % PST_ARRAY_N(tries)](j);
    pst_json_free(j);
    return 0;
}
