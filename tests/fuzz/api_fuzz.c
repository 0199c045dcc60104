/*
 * api_fuzz.c - requests to the API: targets, bodies, session tokens, addresses.
 *
 * The first byte picks what is fed.  A whole request is "<method digit><target>\n<body>" and runs
 * through router, decoders and handlers against a real store (SQLite), as an operator, so that
 * nothing is kept out by rights.  Whatever comes, the answer is JSON and never a 500.
 *
 *     clang -fsanitize=fuzzer,address,undefined ... && ./api_fuzz -max_len=4000 corpus/api
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/base.h>
#include <postern/cert.h>
#include <postern/conf.h>
#include <postern/crypto.h>

#include "../../src/api/api_internal.h"
#include "../../src/api/upstream_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct pst_api *api;
static char session[PST_JWT_MAX + 16];

static void must(int rc, const struct pst_err *err)
{
    if (rc != PST_OK) {
        fprintf(stderr, "api_fuzz: %s\n", err->text);
        abort();
    }
}

/* The operator's session, made the way the exchange makes it. */
static void log_in(struct pst_store *store)
{
    struct pst_err err = {0};
    struct pst_answer ans;
    char token[PST_API_TOKEN_SIZE];
    auto_buf struct pst_buf pair = PST_BUF(256), field = PST_BUF(512);
    struct pst_req *req = pst_req_new(api);

    pst_require(req);
    must(pst_api_user_create(store, "fuzz", "fuzz@example.com", "operator", token, &err), &err);
    pst_buf_printf(&pair, ":%s", token);
    pst_buf_str(&field, "Basic ");
    pst_b64_add(&field, pair.data, pair.len);
    req->method = PST_POST;
    req->authorization = pst_buf_take(&field, NULL);
    must(pst_target_parse(&req->target, "/v1/tokens/exchange", &err), &err);
    pst_answer_init(&ans);
    pst_dispatch(req, &ans);
    auto_(pst_json_free) struct pst_json *j = NULL;
    must(pst_json_parse(&j, ans.body.data, ans.body.len, &err), &err);
    snprintf(session, sizeof session, "Bearer %s", pst_json_get_text(j, "token"));
    pst_answer_deinit(&ans);
    pst_req_free(req);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char dir[] = "/tmp/pst-api-fuzz-XXXXXX";
    static char key[128], url[128], socket[128];
    struct pst_keyring *keys;
    struct pst_store *store;
    struct pst_conf *conf;
    struct pst_err err = {0};

    /* As posternd: the process that reads uploads is this program once more. */
    if (*argc == 2 && pst_streq((*argv)[1], "--role=parse"))
        exit(pst_cert_parse_child_main());
    pst_require(mkdtemp(dir));
    snprintf(key, sizeof key, "%s/key", dir);
    snprintf(url, sizeof url, "sqlite:%s/db", dir);
    snprintf(socket, sizeof socket, "unix:%s/socket", dir);
    must(pst_log_set_levels("error", &err), &err);
    must(pst_crypto_init(false, &err), &err);
    must(pst_keyring_create_file(key, pst_rand_system(), &err), &err);
    must(pst_keyring_open(&keys, key, pst_rand_system(), &err), &err);
    must(pst_conf_new_default(&conf, &pst_conf_posternd, &err), &err);
    struct pst_store_opts so = {.url = url,
                                .node = "fuzz",
                                .create = true,
                                .keys = keys,
                                .clock = pst_clock_system(),
                                .rand = pst_rand_system()};
    must(pst_store_open(&store, &so, &err), &err);
    const char *const listen[] = {socket};
    struct pst_api_opts o = {.store = store,
                             .conf = conf,
                             .clock = pst_clock_system(),
                             .rand = pst_rand_system(),
                             .listen = listen,
                             .listen_n = 1};
    must(pst_api_start(&api, &o, &err), &err);
    log_in(store);
    return 0;
}

static void check_answer(const struct pst_req *req, const struct pst_answer *a)
{
    /* There is no edge here, and that is what it tells. */
    bool not_ready = a->status == 503 && pst_streq(req->route->pattern, "/v1/ready");
    auto_(pst_json_free) struct pst_json *j = NULL;

    pst_require((a->status >= 200 && a->status < 500) || not_ready);
    /* A restart is answered with 202 and nothing, for that is what clients of the platform know. */
    pst_require(a->body.len > 0 || a->status == 204 || a->status == 202);
    if (a->body.len && !a->type)
        pst_require(pst_json_parse(&j, a->body.data, a->body.len, NULL) == PST_OK);
}

static void feed_request(const char *text, size_t len)
{
    struct pst_req *req = pst_req_new(api);
    const char *line_end = memchr(text, '\n', len);
    char target[PST_TARGET_MAX + 2];
    struct pst_answer ans;

    pst_require(req);
    size_t target_len = line_end ? (size_t)(line_end - text) : len;
    if (target_len > 1 && target_len < sizeof target) {
        req->method = (enum pst_method)((unsigned char)text[0] % PST_METHOD__COUNT);
        memcpy(target, text + 1, target_len - 1);
        target[target_len - 1] = '\0';
        if (line_end)
            pst_buf_add(&req->body, line_end + 1, len - target_len - 1);
        req->authorization = pst_strdup(session);
        if (!req->body.too_long && pst_target_parse(&req->target, target, NULL) == PST_OK) {
            pst_answer_init(&ans);
            if (pst_dispatch(req, &ans) == PST_OK)
                check_answer(req, &ans);
            pst_answer_deinit(&ans);
        }
    }
    pst_req_free(req);
}

static void feed_text(char what, const char *text)
{
    struct pst_target target;
    struct pst_claims claims;
    struct pst_address address, again;
    char formatted[PST_WORD_SIZE];

    switch (what) {
    case 't':
        if (pst_target_parse(&target, text, NULL) == PST_OK)
            for (size_t i = 0; i < target.seg_n; i++)
                pst_require(pst_utf8_ok(target.seg[i], strlen(target.seg[i])));
        break;
    case 'j': /* nobody guesses the key */
        pst_require(pst_jwt_verify(&api->jwt_key, text, 0, &claims, NULL) == PST_REFUSED);
        break;
    default:
        if (!pst_address_parse(text, &address))
            break;
        pst_address_format(&address, formatted, sizeof formatted);
        pst_require(pst_address_parse(formatted, &again));
        pst_require(memcmp(&address, &again, sizeof again) == 0);
        pst_upstream_check(api, true, &address, NULL);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (data[0] == 'r') {
        feed_request((const char *)data + 1, size - 1);
        return 0;
    }
    char *text = pst_strndup((const char *)data + 1, size - 1);
    pst_require(text);
    feed_text((char)data[0], text);
    pst_free(text);
    return 0;
}
