/* object_test.c - the values of the feed's objects, the brake's sums, and no memory. */
#include "edge_fixture.h"

struct values {
    char dir[64];
    struct pst_edged_creds creds;
    struct pst_replica_opts opts;
    struct pst_replica *r;
    struct pst_err err;
};

static int set_up_values(void **state)
{
    struct values *v = calloc(1, sizeof *v);
    char keys[96];

    pst_str_copy(v->dir, sizeof v->dir, "/tmp/pst-object-XXXXXX");
    assert_non_null(mkdtemp(v->dir));
    snprintf(keys, sizeof keys, "%s/keys", v->dir);
    v->opts = (struct pst_replica_opts){.dir = v->dir, .map_bytes = 16 << 20};
    assert_ok(pst_edged_creds_load(&v->creds, keys, pst_rand_system(), &v->err), v->err);
    assert_ok(pst_replica_new_build(&v->r, &v->opts, pst_rand_system(), &v->err), v->err);
    assert_ok(pst_replica_begin(v->r, &v->err), v->err);
    *state = v;
    return 0;
}

static int tear_down_values(void **state)
{
    struct values *v = *state;

    pst_replica_close(v->r);
    pst_edged_creds_deinit(&v->creds);
    remove_tree(v->dir);
    free(v);
    return 0;
}

/* Put one object; `value` may hold one %s for a box to the edge with `plain_n` bytes in it. */
static int put(struct values *v, const char *kind, const char *key, const char *value,
               size_t plain_n)
{
    struct pst_buf box = PST_BUF(8192), text = PST_BUF(BODY_SIZE);
    struct pst_json *j = NULL;
    struct pst_edged_object o;
    char aad[300], plain[200] = "plain";
    const char *hole = strstr(value, "%s");

    snprintf(aad, sizeof aad, "%s/%s", kind, key);
    if (hole) {
        add_box(&box, v->creds.box_public, aad, plain, plain_n);
        pst_buf_add(&text, value, (size_t)(hole - value));
        pst_buf_str(&text, box.data);
        pst_buf_str(&text, hole + 2);
    } else {
        pst_buf_str(&text, value);
    }
    struct pst_buf object = PST_BUF(BODY_SIZE);
    add_object(&object, kind, key, 1, text.data);
    assert_ok(pst_json_parse(&j, object.data, object.len, &v->err), v->err);
    assert_ok(pst_edged_object_read(j, &o, &v->err), v->err);
    assert_true(o.kind > 0);
    int rc = pst_edged_object_put(v->r, &v->creds, &o, &v->err);
    pst_json_free(j);
    pst_buf_deinit(&object);
    pst_buf_deinit(&text);
    pst_buf_deinit(&box);
    return rc;
}

#define NAME(members) "{\"app\":\"a1\",\"acme\":true,\"force_https\":false," members "}"
#define STEP(members) NAME("\"canonical\":null,\"steps\":[{" members "}]")
#define APP(members)  "{\"name\":\"x\",\"upstreams\":[{\"id\":\"u\"," members "}]}"
#define CERT(type, issuers, more)                                                                  \
    "{\"leaf\":\"MIIB\",\"issuers\":[" issuers "],\"key_type\":\"" type                            \
    "\",\"not_before\":1,\"not_after\":2," more "}"
#define TIMES "\"not_before\":1,\"not_after\":2"

static const struct {
    const char *kind, *key, *value;
    size_t plain_n;
} good[] =
    {
        {"name", "a.test", NAME("\"canonical\":null,\"steps\":[]"), 0},
        {"name", "*.a.test", NAME("\"canonical\":\"www.a.test\",\"steps\":[],\"new\":1"), 0},
        {"name", "b.test", STEP("\"cert\":\"18446744073709551615\"," TIMES ",\"key\":\"rsa\""), 0},
        {"name", "c.test", STEP("\"cert\":\"1\"," TIMES ",\"key\":\"mldsa\""),
         0}, /* a newer type */
        {"app", "a1", "{\"name\":\"x\",\"upstreams\":[]}", 0},
        {"app", "a2", APP("\"address\":\"[2001:db8::1]:65535\",\"weight\":1"), 0},
        {"app", "a3", APP("\"address\":\"127.0.0.1:80\",\"weight\":1,\"drain\":true"), 0},
        {"cert", "7", CERT("p256", "", "\"sealed\":\"%s\""), 97},
        {"cert", "8", CERT("p384", "\"00000000000000ff\"", "\"sealed\":\"%s\""), 145},
        {"cert", "9", CERT("ed25519", "", "\"sealed\":\"%s\""), 48},
        {"issuer", "00000000000000ff", "{\"der\":\"MIIB\"}", 0},
        {"challenge", "t-1_A", "{\"name\":\"*.a.test\",\"answer\":\"t-1_A.th\",\"until\":9}", 0},
        {"ticket", "t1", "{\"sealed\":\"%s\"," TIMES "}", 80},
        {"meta", "probe", "{\"sealed\":\"%s\"}", 32},
        {"meta", "thumbprint", "{\"value\":\"abc-_\"}", 0},
        {"meta", "default", "{\"steps\":[{\"cert\":\"1\"," TIMES ",\"key\":\"p256\"}]}", 0},
},
  bad[] = {
      {"name", "A.test", NAME("\"canonical\":null,\"steps\":[]"), 0},
      {"name", "a b", NAME("\"canonical\":null,\"steps\":[]"), 0},
      {"name", "a.*.test", NAME("\"canonical\":null,\"steps\":[]"), 0},
      {"name", "a.test", "{}", 0},
      {"name", "a.test", NAME("\"canonical\":null"), 0},
      {"name", "a.test", NAME("\"canonical\":7,\"steps\":[]"), 0},
      {"name", "a.test", NAME("\"canonical\":\"a.test\\r\\nX: y\",\"steps\":[]"), 0},
      {"name", "a.test", NAME("\"canonical\":null,\"steps\":{}"), 0},
      {"name", "a.test", NAME("\"canonical\":null,\"steps\":[1]"), 0},
      {"name", "a.test", NAME("\"canonical\":null,\"steps\":[{},{},{},{},{}]"), 0},
      {"name", "a.test", STEP("\"cert\":\"x\"," TIMES ",\"key\":\"rsa\""), 0},
      {"name", "a.test", STEP("\"cert\":\"18446744073709551616\"," TIMES ",\"key\":\"rsa\""), 0},
      {"name", "a.test", STEP("\"cert\":\"1\",\"not_before\":3,\"not_after\":2,\"key\":\"rsa\""),
       0},
      {"name", "a.test", STEP("\"cert\":1," TIMES ",\"key\":\"rsa\""), 0},
      {"app", "a/1", "{\"name\":\"x\",\"upstreams\":[]}", 0},
      {"app", "a1", APP("\"address\":\"localhost:80\",\"weight\":1"), 0},
      {"app", "a1", APP("\"address\":\"127.0.0.1\",\"weight\":1"), 0},
      {"app", "a1", APP("\"address\":\"127.0.0.1:0\",\"weight\":1"), 0},
      {"app", "a1", APP("\"address\":\"127.0.0.1:65536\",\"weight\":1"), 0},
      {"app", "a1", APP("\"address\":\"::1:80\",\"weight\":1"), 0},
      {"app", "a1", APP("\"address\":\"[::1:80\",\"weight\":1"), 0},
      {"app", "a1", APP("\"address\":\"127.0.0.1:80\",\"weight\":65536"), 0},
      {"app", "a1", APP("\"address\":\"127.0.0.1:80\",\"weight\":-1"), 0},
      {"app", "a1", APP("\"address\":\"127.0.0.1:80\",\"weight\":1,\"drain\":1"), 0},
      {"cert", "7", CERT("p256", "", "\"sealed\":\"%s\""), 96},
      {"cert", "7", CERT("dsa", "", "\"sealed\":\"%s\""), 97},
      {"cert", "7", CERT("p256", "", "\"sealed\":\"@@@\""), 0},
      {"cert", "7", CERT("p256", "", "\"sealed\":\"\""), 0},
      {"cert", "7", CERT("p256", "\"xyz\"", "\"sealed\":\"%s\""), 97},
      {"cert", "7", CERT("p256", "7", "\"sealed\":\"%s\""), 97},
      {"issuer", "00000000000000ff", "{\"der\":\"\"}", 0},
      {"issuer", "00000000000000ff", "{\"der\":\"MI IB\"}", 0},
      {"challenge", "t/1", "{\"name\":\"a.test\",\"answer\":\"t.th\",\"until\":9}", 0},
      {"challenge", "t", "{\"name\":\"a.test\",\"answer\":\"t th\",\"until\":9}", 0},
      {"challenge", "t", "{\"name\":\"A.test\",\"answer\":\"t.th\",\"until\":9}", 0},
      {"challenge", "t", "{\"name\":\"a.test\",\"answer\":\"t.th\",\"until\":-9}", 0},
      {"ticket", "t1", "{\"sealed\":\"%s\"," TIMES "}", 79},
      {"meta", "probe", "{\"sealed\":\"%s\"}", 31},
      {"meta", "thumbprint", "{\"value\":\"a b\"}", 0},
      {"meta", "default", "{\"steps\":null}", 0},
};

static void good_values_are_put(void **state)
{
    struct values *v = *state;

    for (size_t i = 0; i < PST_ARRAY_N(good); i++) {
        if (put(v, good[i].kind, good[i].key, good[i].value, good[i].plain_n) != PST_OK)
            fail_msg("%s/%s %s: %s", good[i].kind, good[i].key, good[i].value, v->err.text);
        assert_ok(pst_replica_has(v->r, pst_replica_kind_find(good[i].kind, strlen(good[i].kind)),
                                  good[i].key, NULL, &v->err),
                  v->err);
    }
}

static void bad_values_are_refused_by_field(void **state)
{
    struct values *v = *state;

    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        v->err = (struct pst_err){0};
        if (put(v, bad[i].kind, bad[i].key, bad[i].value, bad[i].plain_n) != PST_REFUSED)
            fail_msg("%s/%s %s was not refused", bad[i].kind, bad[i].key, bad[i].value);
        assert_true(v->err.text[0] != '\0');
    }
    /* The batch is as good as before. */
    assert_ok(put(v, good[0].kind, good[0].key, good[0].value, 0), v->err);
}

static void a_list_over_its_limit_is_refused(void **state)
{
    struct values *v = *state;
    struct pst_buf b = PST_BUF(BODY_SIZE);

    pst_buf_str(&b, "{\"name\":\"x\",\"upstreams\":[");
    for (int i = 0; i < PST_REPLICA_UPSTREAMS + 1; i++)
        pst_buf_printf(&b, "%s{\"id\":\"u%d\",\"address\":\"127.0.0.1:80\",\"weight\":1}",
                       i ? "," : "", i);
    pst_buf_str(&b, "]}");
    assert_rc(put(v, "app", "a1", b.data, 0), PST_REFUSED, v->err);
    pst_buf_deinit(&b);
}

static int apply_text(struct values *v, const char *text, struct pst_edged_applied *done)
{
    struct pst_edged_page page = {.at.rev = 9};

    int rc = pst_json_parse(&page.root, text, strlen(text), &v->err);
    page.objects = page.root;
    if (rc == PST_OK)
        rc = pst_edged_apply(v->r, &v->creds, &page, done, &v->err);
    pst_edged_page_deinit(&page);
    return rc;
}

static void a_page_counts_what_it_does(void **state)
{
    struct values *v = *state;
    struct pst_edged_applied done;
    struct pst_buf b = PST_BUF(BODY_SIZE), list = PST_BUF(BODY_SIZE);

    assert_ok(put(v, "name", "a.test", good[0].value, 0), v->err);
    assert_ok(put(v, "name", "b.test", good[0].value, 0), v->err);
    add_object(&b, "name", "a.test", 2, NULL);
    add_object(&b, "name", "never.test", 2, NULL);
    add_object(&b, "name", "b.test", 3, "{}");   /* was there, is refused: lost */
    add_object(&b, "name", "new.test", 3, "{}"); /* was not */
    add_object(&b, "cert", "no number", 3, NULL);
    add_object(&b, "meta", "state", 3, "{}"); /* not the feed's */
    add_object(&b, "meta", "state", 3, NULL);
    add_object(&b, "moon", "x", 3, "{}");
    pst_buf_printf(&list, "[%s]", b.data);
    assert_ok(apply_text(v, list.data, &done), v->err);
    assert_int_equal(done.lost_n, 2);
    assert_int_equal(done.refused_n, 3);
    assert_int_equal(done.unknown_n, 3);
    pst_buf_deinit(&b);
    pst_buf_deinit(&list);
}

static void no_memory_is_survived(void **state)
{
    struct values *v = *state;
    struct pst_edged_applied done;
    struct pst_buf b = PST_BUF(BODY_SIZE), box = PST_BUF(1024), list = PST_BUF(BODY_SIZE);
    char plain[97] = "k", cert[1024];
    int rc;

    add_box(&box, v->creds.box_public, "cert/7", plain, sizeof plain);
    snprintf(cert, sizeof cert, CERT("p256", "\"00000000000000ff\"", "\"sealed\":\"%s\""),
             box.data);
    add_object(&b, "cert", "7", 1, cert);
    add_object(&b, "name", "a.test", 1, good[2].value);
    add_object(&b, "app", "a2", 1, good[5].value);
    pst_buf_printf(&list, "[%s]", b.data);
    assert_survives_no_memory(rc, rc = apply_text(v, list.data, &done));
    pst_buf_deinit(&b);
    pst_buf_deinit(&box);
    pst_buf_deinit(&list);
}

/* ---- the brake ---- */

static void the_hour_slides(void **state)
{
    struct pst_edged_brake b;
    int64_t sum, minute = 60000, now = 1000 * minute;

    pst_edged_brake_init(&b, 2, 100);
    assert_false(pst_edged_brake_holds(&b, now, 1000, 99, &sum)); /* under 100 */
    assert_true(pst_edged_brake_holds(&b, now, 1000, 100, &sum));
    assert_false(pst_edged_brake_holds(&b, now, 10000, 200, &sum)); /* not over 2 % */
    assert_true(pst_edged_brake_holds(&b, now, 10000, 201, &sum));

    pst_edged_brake_count(&b, now, 99);
    assert_true(pst_edged_brake_holds(&b, now + 59 * minute, 901, 1, &sum));
    assert_int_equal(sum, 100);
    assert_false(pst_edged_brake_holds(&b, now + 59 * minute, 901, 0, &sum)); /* nothing goes */
    assert_false(pst_edged_brake_holds(&b, now + 60 * minute, 901, 1, &sum));
    assert_int_equal(sum, 1);

    pst_edged_brake_count(&b, now + 60 * minute, 50);
    pst_edged_brake_count(&b, now + 61 * minute, 49);
    assert_true(pst_edged_brake_holds(&b, now + 119 * minute, 901, 1, &sum));
    pst_edged_brake_reset(&b);
    assert_false(pst_edged_brake_holds(&b, now + 119 * minute, 901, 1, &sum));
    assert_false(pst_edged_brake_holds(&b, now + 100000 * minute, 901, 1, &sum));
}

#define VALUES(fn) cmocka_unit_test_setup_teardown(fn, set_up_values, tear_down_values)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VALUES(good_values_are_put),
        VALUES(bad_values_are_refused_by_field),
        VALUES(a_list_over_its_limit_is_refused),
        VALUES(a_page_counts_what_it_does),
        VALUES(no_memory_is_survived),
        cmocka_unit_test(the_hour_slides),
    };

    pst_log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
