/*
 * corpus_test.c - every file of tests/data/make-cert-corpus, judged in this process and in one of
 * its own: the verdict and exactly the codes that its manifest says.
 *
 *     corpus_test MANIFEST
 *     corpus_test --role=parse      what the second half starts
 */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/base.h>
#include <postern/cert.h>
#include <postern/crypto.h>
#include <postern/crypto_read.h>
#include <postern/http.h>
#include <postern/json.h>

#include "fake_http.h"

enum { MANIFEST_MAX = 4 * 1024 * 1024, FILE_MAX = 1024 * 1024, WALL_MS = 20000, SAMPLE = 24 };

struct upload {
    const struct pst_json *entry;
    struct pst_buf cert, key, extra, roots, aia;
    struct pst_cert_input inputs[2];
    struct pst_secret passphrase;
    const char *names[PST_CERT_NAMES_ASKED_MAX];
    uint8_t held[32];
    struct pst_cert_request req;
};

static const char *folder;
static const struct pst_json *cases;
static size_t failures;

static void fail(const struct upload *u, const char *how, const char *what, const char *more)
{
    failures++;
    printf("FAILED %s (%s): %s %s\n", pst_json_get_text(u->entry, "name"), how, what, more);
}

static void load(const char *name, struct pst_buf *to)
{
    auto_(pst_free) char *path = NULL;
    struct pst_err err = {0};

    *to = (struct pst_buf)PST_BUF(FILE_MAX);
    if (!name)
        return;
    path = pst_asprintf("%s/%s", folder, name);
    pst_require(path != NULL);
    if (pst_io_read_file(path, to, &err) != PST_OK) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        exit(EXIT_FAILURE);
    }
}

static void unload(struct upload *u)
{
    pst_buf_wipe(&u->cert);
    pst_buf_wipe(&u->key);
    pst_buf_deinit(&u->extra);
    pst_buf_deinit(&u->roots);
    pst_buf_deinit(&u->aia);
    pst_secret_deinit(&u->passphrase);
}

static void prepare(const struct pst_json *entry, struct upload *u);

/* The public key of another case's certificate, as that of a key that is held. */
static void hold_key_of(struct upload *u, const char *name)
{
    for (size_t i = 0; i < pst_json_len(cases); i++) {
        auto_cert_result struct pst_cert_result r = {0};
        struct upload other;

        if (!pst_streq(pst_json_get_text(pst_json_at(cases, i), "name"), name))
            continue;
        prepare(pst_json_at(cases, i), &other);
        pst_require(pst_cert_judge(NULL, NULL, &other.req, &r, NULL) == PST_OK);
        memcpy(u->held, r.chain.info.spki_sha256, sizeof u->held);
        u->req.held_spki_sha256 = u->held;
        unload(&other);
    }
    pst_require(u->req.held_spki_sha256 != NULL);
}

static void prepare(const struct pst_json *entry, struct upload *u)
{
    const struct pst_json *names = pst_json_get(entry, "names");
    const char *passphrase = pst_json_get_text(entry, "passphrase");
    int64_t bits = 0;
    size_t n = 0;

    *u = (struct upload){.entry = entry};
    load(pst_json_get_text(entry, "cert"), &u->cert);
    load(pst_json_get_text(entry, "key"), &u->key);
    load(pst_json_get_text(entry, "extra"), &u->extra);
    load(pst_json_get_text(entry, "roots"), &u->roots);
    load(pst_json_get_text(entry, "aia"), &u->aia);
    u->inputs[n++] = (struct pst_cert_input){u->cert.data, u->cert.len, PST_CERT_FIELD_CERT};
    u->inputs[n++] = (struct pst_cert_input){u->key.data, u->key.len, PST_CERT_FIELD_KEY};
    if (passphrase)
        pst_require(pst_secret_set(&u->passphrase, passphrase, strlen(passphrase), NULL) == PST_OK);
    for (size_t i = 0; i < pst_json_len(names); i++)
        u->names[i] = pst_json_text(pst_json_at(names, i));
    (void)pst_json_get_int(entry, "rsa_bits_max", &bits);
    u->req = (struct pst_cert_request){
        .inputs = u->inputs,
        .inputs_n = n,
        .passphrase = passphrase ? &u->passphrase : NULL,
        .names = u->names,
        .names_n = pst_json_len(names),
        .roots = u->roots.data,
        .roots_len = u->roots.len,
        .extra = u->extra.data,
        .extra_len = u->extra.len,
        .rsa_bits_max = (int)bits,
    };
    (void)pst_json_get_int(entry, "at", &u->req.at);
    (void)pst_json_get_bool(entry, "key_optional", &u->req.key_optional);
    if (pst_json_get_text(entry, "held_key_of"))
        hold_key_of(u, pst_json_get_text(entry, "held_key_of"));
}

/* The codes found, each once, sorted, with blanks between. */
static void list_codes(const struct pst_cert_result *r, struct pst_buf *to)
{
    const char *found[PST_CERT_CODE__COUNT];
    size_t n = 0;

    for (enum pst_cert_code c = 0; c < PST_CERT_CODE__COUNT; c++)
        if (pst_cert_has(r, c))
            found[n++] = pst_cert_code_name(c);
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++)
            if (strcmp(found[k], found[i]) < 0) {
                const char *other = found[i];

                found[i] = found[k];
                found[k] = other;
            }
    for (size_t i = 0; i < n; i++)
        pst_buf_printf(to, "%s%s", i > 0 ? " " : "", found[i]);
}

/* Nothing that is said may hold a piece of a key. */
static void check_silence(const struct upload *u, const struct pst_cert_result *r, const char *how)
{
    auto_buf struct pst_buf text = PST_BUF(FILE_MAX);
    const struct pst_buf *const from[] = {&u->cert, &u->key};

    pst_require(pst_cert_report_text(r, &text, NULL) == PST_OK);
    for (size_t i = 0; i < PST_ARRAY_N(from); i++)
        for (size_t at = 0; at + SAMPLE < from[i]->len; at++)
            /* "-----BEGIN CERTIFICATE-----" may well be said. */
            if (!memmem(from[i]->data + at, SAMPLE, "-----", 5) &&
                !memmem(from[i]->data + at, SAMPLE, "BEGIN", 5) &&
                !memmem(from[i]->data + at, SAMPLE, "begin", 5) &&
                !memmem(from[i]->data + at, SAMPLE, "Test ", 5) &&
                memmem(text.data, text.len, from[i]->data + at, SAMPLE)) {
                fail(u, how, "a finding quotes the upload:", pst_buf_cstr(&text));
                return;
            }
}

/* The web server that a certificate names, behind a proxy that answers in its place. */
struct web {
    struct fake_http *server;
    struct pst_http *client;
};

static void web_start(struct web *web, const struct pst_buf *body)
{
    auto_buf struct pst_buf answer = PST_BUF(FILE_MAX);
    struct pst_err err = {0};

    web->server = fake_http_start();
    pst_buf_printf(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body->len);
    pst_buf_add(&answer, body->data, body->len);
    fake_http_raw(web->server, NULL, -1, answer.data, answer.len);
    pst_require(pst_http_new(&web->client,
                             &(struct pst_http_opts){.proxy = fake_http_url(web->server)},
                             &err) == PST_OK);
}

static void web_stop(struct web *web)
{
    pst_http_free(web->client);
    fake_http_stop(web->server);
}

static void judge(const struct upload *u, const struct pst_cert_process *process, const char *how)
{
    auto_cert_result struct pst_cert_result r = {0};
    auto_buf struct pst_buf found = PST_BUF(FILE_MAX), wanted = PST_BUF(FILE_MAX);
    const struct pst_json *codes = pst_json_get(u->entry, "codes");
    struct pst_err err = {0};
    struct pst_cert_sources sources = {0};
    bool accepted = false, fetches = pst_json_get_text(u->entry, "aia") != NULL;
    struct web web;
    int rc;

    if (fetches) {
        web_start(&web, &u->aia);
        sources.aia = web.client;
    }
    rc = pst_cert_judge(process, &sources, &u->req, &r, &err);
    if (fetches)
        web_stop(&web);
    if (rc != PST_OK) {
        fail(u, how, "fault:", err.text);
        return;
    }
    (void)pst_json_get_bool(u->entry, "accepted", &accepted);
    list_codes(&r, &found);
    for (size_t i = 0; i < pst_json_len(codes); i++)
        pst_buf_printf(&wanted, "%s%s", i > 0 ? " " : "", pst_json_text(pst_json_at(codes, i)));
    if (accepted != r.accepted || strcmp(pst_buf_cstr(&found), pst_buf_cstr(&wanted)) != 0) {
        auto_buf struct pst_buf text = PST_BUF(FILE_MAX);

        (void)pst_cert_report_text(&r, &text, NULL);
        printf("  wanted [%s], found [%s]\n", pst_buf_cstr(&wanted), pst_buf_cstr(&found));
        fail(u, how, "", pst_buf_cstr(&text));
    }
    if (r.accepted && !r.has_key && !u->req.held_spki_sha256 && !u->req.key_optional)
        fail(u, how, "accepted without a key", "");
    if ((r.accepted && !r.chain.leaf.data) || (!r.accepted && r.key.len > 0))
        fail(u, how, "half a result", "");
    check_silence(u, &r, how);
}

/* The first, the second, ... allocation fails: no half result, and no verdict that is not true. */
static void judge_without_memory(const struct upload *u)
{
    for (long nth = 1;; nth++) {
        auto_cert_result struct pst_cert_result r = {0};
        bool failed;
        int rc;

        pst_mem_fail_at(nth);
        rc = pst_cert_judge(NULL, NULL, &u->req, &r, NULL);
        failed = pst_mem_failed();
        pst_mem_fail_at(0);
        if (!failed)
            return;
        if (rc != PST_ENOMEM || r.findings_n > 0 || r.chain.leaf.data || r.key.data)
            fail(u, "without memory", "gave", pst_rc_name(rc));
    }
}

/* Showing and converting must take all of it, too. */
static void show(const struct upload *u)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_cert_result struct pst_cert_result r = {0};
    auto_buf struct pst_buf text = PST_BUF(FILE_MAX);
    auto_buf_wipe struct pst_buf pem = PST_BUF(FILE_MAX);
    struct pst_err err = {0};
    int rc;

    if (pst_cert_show_json(&u->req, &j, &err) != PST_OK ||
        pst_cert_show_text(&u->req, &text, &err) != PST_OK)
        fail(u, "show", "fault:", err.text);
    rc = pst_cert_convert(&u->req, &pem, &r, &err);
    if (rc < 0 || (rc == PST_OK) != r.accepted || (rc == PST_OK) != (pem.len > 0))
        fail(u, "convert", "fault:", err.text);
}

/* Is each code shown by at least one file? */
static void check_codes(void)
{
    for (enum pst_cert_code c = 0; c < PST_CERT_CODE__COUNT; c++) {
        bool seen = false;

        for (size_t i = 0; i < pst_json_len(cases); i++) {
            const struct pst_json *codes = pst_json_get(pst_json_at(cases, i), "codes");

            for (size_t k = 0; k < pst_json_len(codes); k++)
                seen |= pst_streq(pst_json_text(pst_json_at(codes, k)), pst_cert_code_name(c));
        }
        if (!seen) {
            failures++;
            printf("FAILED: no file of the corpus has %s\n", pst_cert_code_name(c));
        }
    }
}

int main(int argc, char **argv)
{
    struct pst_cert_process apart = {.clock = pst_clock_system(), .wall_ms = WALL_MS};
    auto_(pst_json_free) struct pst_json *manifest = NULL;
    auto_buf struct pst_buf text = PST_BUF(MANIFEST_MAX);
    struct pst_err err = {0};

    if (argc == 2 && strcmp(argv[1], "--role=parse") == 0)
        return pst_cert_parse_child_main();
    if (argc < 2)
        return 2;
    if (pst_crypto_init(false, &err) != PST_OK ||
        pst_io_read_file(argv[1], &text, &err) != PST_OK ||
        pst_json_parse(&manifest, text.data, text.len, &err) != PST_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], err.text);
        return EXIT_FAILURE;
    }
    pst_read_init();
    folder = dirname(argv[1]);
    cases = pst_json_get(manifest, "cases");
    check_codes();
    for (size_t i = 0; i < pst_json_len(cases); i++) {
        const struct pst_json *entry = pst_json_at(cases, i);
        struct upload u;
        bool no_memory = false;

        if (argc > 2 && !pst_streq(argv[2], pst_json_get_text(entry, "name")))
            continue;
        prepare(entry, &u);
        judge(&u, NULL, "in this process");
        judge(&u, &apart, "in its own process");
        show(&u);
        if (pst_json_get_bool(entry, "no_memory", &no_memory) && no_memory)
            judge_without_memory(&u);
        unload(&u);
    }
    printf("%zu files, %zu failures\n", pst_json_len(cases), failures);
    return failures > 0 || pst_json_len(cases) < 150 ? EXIT_FAILURE : EXIT_SUCCESS;
}
