#include "pst_test.h"
#include <endian.h>

#include <stdio.h>
#include <stdlib.h>

#include <postern/replica_record.h>

static unsigned char room[PST_REPLICA_RECORD_MAX];

static struct pst_replica_key_bytes key_of(int kind, const char *text)
{
    struct pst_replica_key_bytes k;

    assert_int_equal(pst_replica_key_from_text(kind, text, strlen(text), &k), PST_REPLICA_OK);
    return k;
}

static struct pst_replica_out out_to(const struct pst_replica_key_bytes *key)
{
    return (struct pst_replica_out){.to = room, .cap = sizeof room, .key = key, .generation = 77};
}

static struct pst_replica_name sample_name(void)
{
    struct pst_replica_name n = {.app = "aaaaaaaaaaaaaaaaaaaaaaaa",
                                 .acme = true,
                                 .canonical = "www.example.com",
                                 .step_n = 2};

    n.steps[0] = (struct pst_replica_step){
        .cert = 1ull << 63, .not_before = -5, .not_after = 1900000000, .key = PST_REPLICA_P256};
    n.steps[1] = (struct pst_replica_step){.cert = 2,
                                           .not_before = 1,
                                           .not_after = 2,
                                           .cert2 = 3,
                                           .key = PST_REPLICA_P384,
                                           .key2 = PST_REPLICA_RSA};
    return n;
}

static void name_there_and_back(void **st)
{
    struct pst_replica_key_bytes k = key_of(PST_REPLICA_NAME, "*.example.com");
    struct pst_replica_out o = out_to(&k);
    struct pst_replica_name v = sample_name(), back;
    size_t len;

    assert_int_equal(pst_replica_name_encode(&o, &v, &len), PST_REPLICA_OK);
    struct pst_replica_in in = {.data = room, .len = len, .key = k.data, .key_len = k.len};
    assert_int_equal(pst_replica_name_decode(&in, &back), PST_REPLICA_OK);
    assert_int_equal(back.generation, 77);
    assert_string_equal(back.app, v.app);
    assert_string_equal(back.canonical, v.canonical);
    assert_true(back.acme);
    assert_false(back.force_https);
    assert_int_equal(back.step_n, 2);
    assert_true(back.steps[0].cert == 1ull << 63 && back.steps[0].not_before == -5);
    assert_int_equal(back.steps[1].cert2, 3);
    assert_int_equal(back.steps[1].key2, PST_REPLICA_RSA);

    /* Another name's record under this key is not this name's record. */
    in.key = "*.example.org";
    assert_int_equal(pst_replica_name_decode(&in, &back), PST_REPLICA_DAMAGED);
}

static void app_there_and_back(void **st)
{
    struct pst_replica_key_bytes k = key_of(PST_REPLICA_APP, "app1");
    struct pst_replica_out o = out_to(&k);
    static struct pst_replica_app v, back;
    size_t len;

    (void)snprintf(v.name, sizeof v.name, "my-app");
    v.upstream_n = PST_REPLICA_UPSTREAMS;
    for (unsigned i = 0; i < v.upstream_n; i++) {
        (void)snprintf(v.upstreams[i].id, sizeof v.upstreams[i].id, "id%u", i);
        (void)snprintf(v.upstreams[i].address, sizeof v.upstreams[i].address, "127.0.0.1:%u",
                       3000 + i);
        v.upstreams[i].weight = (uint16_t)(i * 1000);
        v.upstreams[i].drain = i % 3 == 0;
    }
    assert_int_equal(pst_replica_app_encode(&o, &v, &len), PST_REPLICA_OK);
    struct pst_replica_in in = {.data = room, .len = len, .key = k.data, .key_len = k.len};
    assert_int_equal(pst_replica_app_decode(&in, &back), PST_REPLICA_OK);
    assert_int_equal(back.upstream_n, v.upstream_n);
    for (unsigned i = 0; i < v.upstream_n; i++) {
        assert_string_equal(back.upstreams[i].id, v.upstreams[i].id);
        assert_string_equal(back.upstreams[i].address, v.upstreams[i].address);
        assert_int_equal(back.upstreams[i].weight, v.upstreams[i].weight);
        assert_int_equal(back.upstreams[i].drain, v.upstreams[i].drain);
    }

    v.upstream_n = PST_REPLICA_UPSTREAMS + 1;
    assert_int_equal(pst_replica_app_encode(&o, &v, &len), PST_REPLICA_TOOBIG);
}

/* Records of before draining end their entries with the address. */
static void app_record_without_flags(void **st)
{
    struct pst_replica_key_bytes k = key_of(PST_REPLICA_APP, "app1");
    struct pst_replica_out o = out_to(&k);
    static struct pst_replica_app v, back;
    size_t len;

    (void)snprintf(v.name, sizeof v.name, "n");
    v.upstream_n = 1;
    v.upstreams[0] = (struct pst_replica_upstream){"id", "127.0.0.1:80", 5, true};
    assert_int_equal(pst_replica_app_encode(&o, &v, &len), PST_REPLICA_OK);
    size_t entry = PST_REPLICA_HEADER + 6 + 1;
    room[entry]--;
    room[4]--;
    len--;
    uint64_t sum = htole64(pst_replica_checksum(k.data, k.len, room, len));
    memcpy(room + 16, &sum, sizeof sum);
    struct pst_replica_in in = {.data = room, .len = len, .key = k.data, .key_len = k.len};
    assert_int_equal(pst_replica_app_decode(&in, &back), PST_REPLICA_OK);
    assert_string_equal(back.upstreams[0].address, "127.0.0.1:80");
    assert_int_equal(back.upstreams[0].weight, 5);
    assert_false(back.upstreams[0].drain);
}

static void cert_there_and_back(void **st)
{
    struct pst_replica_key_bytes k = key_of(PST_REPLICA_CERT, "18446744073709551615");
    struct pst_replica_out o = out_to(&k);
    struct pst_replica_cert v = {.key = PST_REPLICA_RSA,
                                 .not_before = 10,
                                 .not_after = 20,
                                 .leaf = (const unsigned char *)"leaf",
                                 .leaf_len = 4,
                                 .issuer_n = 2,
                                 .issuers = {5, UINT64_MAX},
                                 .sealed = (const unsigned char *)"sealed!",
                                 .sealed_len = 7};
    struct pst_replica_cert back;
    size_t len;

    assert_int_equal(pst_replica_cert_encode(&o, &v, &len), PST_REPLICA_OK);
    struct pst_replica_in in = {.data = room, .len = len, .key = k.data, .key_len = k.len};
    assert_int_equal(pst_replica_cert_decode(&in, &back), PST_REPLICA_OK);
    assert_int_equal(back.leaf_len, 4);
    assert_memory_equal(back.leaf, "leaf", 4);
    assert_int_equal(back.sealed_len, 7);
    assert_memory_equal(back.sealed, "sealed!", 7);
    assert_int_equal(back.issuer_n, 2);
    assert_true(back.issuers[1] == UINT64_MAX);
    assert_int_equal(back.not_after, 20);

    v.leaf_len = PST_REPLICA_LEAF_MAX + 1;
    assert_int_equal(pst_replica_cert_encode(&o, &v, &len), PST_REPLICA_TOOBIG);
}

static void small_kinds_there_and_back(void **st)
{
    struct pst_replica_key_bytes k = key_of(PST_REPLICA_CHALLENGE, "tok_-en");
    struct pst_replica_out o = out_to(&k);
    struct pst_replica_challenge c = {.name = "a.test", .answer = "tok_-en.thumb", .until = 99};
    struct pst_replica_challenge c2;
    size_t len;

    assert_int_equal(pst_replica_challenge_encode(&o, &c, &len), PST_REPLICA_OK);
    struct pst_replica_in in = {.data = room, .len = len, .key = k.data, .key_len = k.len};
    assert_int_equal(pst_replica_challenge_decode(&in, &c2), PST_REPLICA_OK);
    assert_string_equal(c2.name, "a.test");
    assert_string_equal(c2.answer, "tok_-en.thumb");
    assert_int_equal(c2.until, 99);
    struct pst_replica_ticket t2;
    assert_int_equal(pst_replica_ticket_decode(&in, &t2), PST_REPLICA_DAMAGED); /* another kind */

    k = key_of(PST_REPLICA_TICKET, "t1");
    struct pst_replica_ticket t = {
        .not_before = 1, .not_after = 2, .sealed = (const unsigned char *)"xyz", .sealed_len = 3};
    assert_int_equal(pst_replica_ticket_encode(&o, &t, &len), PST_REPLICA_OK);
    in = (struct pst_replica_in){.data = room, .len = len, .key = k.data, .key_len = k.len};
    assert_int_equal(pst_replica_ticket_decode(&in, &t2), PST_REPLICA_OK);
    assert_memory_equal(t2.sealed, "xyz", 3);

    k = key_of(PST_REPLICA_META, PST_REPLICA_META_STATE);
    struct pst_replica_state s = {
        .epoch = "e1", .rev = 5, .rev_id = "r", .committed_at = -1, .superseded = true};
    struct pst_replica_state s2;
    assert_int_equal(pst_replica_state_encode(&o, &s, &len), PST_REPLICA_OK);
    in = (struct pst_replica_in){.data = room, .len = len, .key = k.data, .key_len = k.len};
    assert_int_equal(pst_replica_state_decode(&in, &s2), PST_REPLICA_OK);
    assert_string_equal(s2.epoch, "e1");
    assert_string_equal(s2.rev_id, "r");
    assert_true(s2.rev == 5 && s2.committed_at == -1 && s2.superseded);

    k = key_of(PST_REPLICA_META, PST_REPLICA_META_THUMBPRINT);
    struct pst_replica_text x = {.value = "thumb"}, x2;
    assert_int_equal(pst_replica_text_encode(&o, &x, &len), PST_REPLICA_OK);
    in = (struct pst_replica_in){.data = room, .len = len, .key = k.data, .key_len = k.len};
    assert_int_equal(pst_replica_text_decode(&in, &x2), PST_REPLICA_OK);
    assert_string_equal(x2.value, "thumb");
}

static void every_flip_and_cut_is_seen(void **st)
{
    struct pst_replica_key_bytes k = key_of(PST_REPLICA_NAME, "a.example");
    struct pst_replica_out o = out_to(&k);
    struct pst_replica_name v = sample_name(), back;
    size_t len;

    assert_int_equal(pst_replica_name_encode(&o, &v, &len), PST_REPLICA_OK);
    for (size_t bit = 0; bit < len * 8; bit++) {
        unsigned char *copy = malloc(len); /* exact, so that a read behind it is found */
        memcpy(copy, room, len);
        copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
        struct pst_replica_in in = {.data = copy, .len = len, .key = k.data, .key_len = k.len};
        assert_int_equal(pst_replica_name_decode(&in, &back), PST_REPLICA_DAMAGED);
        free(copy);
    }
    for (size_t cut = 0; cut < len; cut++) {
        unsigned char *copy = malloc(cut ? cut : 1);
        memcpy(copy, room, cut);
        struct pst_replica_in in = {.data = copy, .len = cut, .key = k.data, .key_len = k.len};
        assert_int_equal(pst_replica_name_decode(&in, &back), PST_REPLICA_DAMAGED);
        free(copy);
    }
}

static void seal_record(unsigned char *rec, size_t len, const struct pst_replica_key_bytes *k)
{
    for (int i = 0; i < 4; i++)
        rec[4 + i] = (unsigned char)(len >> (8 * i));
    uint64_t sum = pst_replica_checksum(k->data, k->len, rec, len);
    for (int i = 0; i < 8; i++)
        rec[16 + i] = (unsigned char)(sum >> (8 * i));
}

/* A newer writer: longer header, longer fixed part, longer steps, more at the end. */
static void newer_records_are_read(void **st)
{
    struct pst_replica_key_bytes k = key_of(PST_REPLICA_NAME, "a.example");
    struct pst_replica_out o = out_to(&k);
    struct pst_replica_name v = sample_name(), back;
    unsigned char rec[512];
    size_t len, n = 0;

    v.step_n = 1;
    assert_int_equal(pst_replica_name_encode(&o, &v, &len), PST_REPLICA_OK);
    memcpy(rec, room, 24);
    rec[0] = 28;
    rec[2] = 2;
    n = 28;
    memset(rec + 24, 0xee, 4);
    memcpy(rec + n, room + 24, 8);
    rec[n] = 10;     /* two more fixed bytes */
    rec[n + 6] = 44; /* four more bytes a step */
    n += 8;
    rec[n++] = 0xee;
    rec[n++] = 0xee;
    memcpy(rec + n, room + 32, len - 32);
    n += len - 32;
    memset(rec + n, 0xee, 4 + 9);
    n += 4 + 9;
    seal_record(rec, n, &k);
    struct pst_replica_in in = {.data = rec, .len = n, .key = k.data, .key_len = k.len};
    assert_int_equal(pst_replica_name_decode(&in, &back), PST_REPLICA_OK);
    assert_string_equal(back.app, v.app);
    assert_string_equal(back.canonical, v.canonical);
    assert_int_equal(back.step_n, 1);
    assert_true(back.steps[0].not_after == v.steps[0].not_after);
}

/* Right checksum, wrong lengths inside: each byte of the body set to each of some values. */
static void lengths_inside_are_checked(void **st)
{
    static const unsigned char values[] = {0, 1, 7, 64, 127, 128, 254, 255};
    struct pst_replica_key_bytes k = key_of(PST_REPLICA_APP, "app1");
    struct pst_replica_out o = out_to(&k);
    static struct pst_replica_app v, back;
    size_t len, refused = 0;

    (void)snprintf(v.name, sizeof v.name, "n");
    v.upstream_n = 2;
    for (unsigned i = 0; i < 2; i++) {
        (void)snprintf(v.upstreams[i].id, sizeof v.upstreams[i].id, "id");
        (void)snprintf(v.upstreams[i].address, sizeof v.upstreams[i].address, "127.0.0.1:1");
    }
    assert_int_equal(pst_replica_app_encode(&o, &v, &len), PST_REPLICA_OK);
    for (size_t at = 0; at < len; at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            if (at >= 4 && at < 8)
                continue;
            unsigned char *copy = malloc(len);
            memcpy(copy, room, len);
            copy[at] = values[i];
            seal_record(copy, len, &k);
            struct pst_replica_in in = {.data = copy, .len = len, .key = k.data, .key_len = k.len};
            refused += pst_replica_app_decode(&in, &back) != PST_REPLICA_OK;
            free(copy);
        }
    }
    assert_true(refused > 50);
}

static void keys_are_strict(void **st)
{
    struct pst_replica_key_bytes k;
    char text[PST_REPLICA_KEY_MAX + 1];
    static const char *const bad[] = {
        "", "01", "-1", "+1", " 1", "1 ", "1x", "18446744073709551616", "99999999999999999999"};
    static const char *const good[] = {"0", "1", "18446744073709551615"};

    for (size_t i = 0; i < PST_ARRAY_N(bad); i++)
        assert_int_equal(pst_replica_key_from_text(PST_REPLICA_CERT, bad[i], strlen(bad[i]), &k),
                         PST_REPLICA_BADKEY);
    for (size_t i = 0; i < PST_ARRAY_N(good); i++) {
        assert_int_equal(pst_replica_key_from_text(PST_REPLICA_CERT, good[i], strlen(good[i]), &k),
                         PST_REPLICA_OK);
        assert_int_equal(pst_replica_key_to_text(PST_REPLICA_CERT, k.data, k.len, text),
                         PST_REPLICA_OK);
        assert_string_equal(text, good[i]);
    }
    k = key_of(PST_REPLICA_ISSUER, "00ff00ff12345678");
    assert_int_equal(pst_replica_key_to_text(PST_REPLICA_ISSUER, k.data, k.len, text),
                     PST_REPLICA_OK);
    assert_string_equal(text, "00ff00ff12345678");
    assert_int_equal(pst_replica_key_from_text(PST_REPLICA_ISSUER, "00FF00ff12345678", 16, &k),
                     PST_REPLICA_BADKEY);
    assert_int_equal(pst_replica_key_from_text(PST_REPLICA_NAME, "a\0b", 3, &k),
                     PST_REPLICA_BADKEY);
    memset(text, 'a', sizeof text);
    assert_int_equal(pst_replica_key_from_text(PST_REPLICA_NAME, text, sizeof text, &k),
                     PST_REPLICA_BADKEY);
    assert_int_equal(pst_replica_kind_find("issuer", 6), PST_REPLICA_ISSUER);
    assert_int_equal(pst_replica_kind_find("issue", 5), 0);
    assert_null(pst_replica_kind_name(PST_REPLICA_KIND__END));
}

/* The format is on disks: this value may never change. */
static void checksum_is_fixed(void **st)
{
    struct pst_replica_key_bytes k = key_of(PST_REPLICA_META, "thumbprint");
    struct pst_replica_out o = out_to(&k);
    struct pst_replica_text v = {.value = "abc"};
    size_t len;

    assert_int_equal(pst_replica_text_encode(&o, &v, &len), PST_REPLICA_OK);
    static const unsigned char head[] = {24, 0, 1, 7, 31, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(len, 31);
    assert_memory_equal(room, head, sizeof head);
    assert_memory_equal(room + 24, "\4\0\3\0abc", 7);
    uint64_t sum = 0;
    for (int i = 7; i >= 0; i--)
        sum = sum << 8 | room[16 + i];
    if (sum != 0x630cf0ed07b61eddu)
        fail_msg("checksum is 0x%016llx", (unsigned long long)sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_there_and_back),
        cmocka_unit_test(app_there_and_back),
        cmocka_unit_test(app_record_without_flags),
        cmocka_unit_test(cert_there_and_back),
        cmocka_unit_test(small_kinds_there_and_back),
        cmocka_unit_test(every_flip_and_cut_is_seen),
        cmocka_unit_test(newer_records_are_read),
        cmocka_unit_test(lengths_inside_are_checked),
        cmocka_unit_test(keys_are_strict),
        cmocka_unit_test(checksum_is_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
