/* update_test.c - dynamic updates: bytes on the wire, signatures, hostile answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <postern/base.h>
#include <postern/dnsupdate.h>

/* ---- a key whose MAC is a plain sum, so that these tests need no cryptography ---- */

static int fake_mac(void *arg, const void *data, size_t len, uint8_t ret[PST_TSIG_MAC_MAX],
                    size_t *ret_len, struct pst_err *err)
{
    uint64_t h = 1469598103934665603u + *(const unsigned *)arg;
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    for (size_t i = 0; i < 8; i++)
        ret[i] = (uint8_t)(h >> (8 * i));
    *ret_len = 8;
    return PST_OK;
}

static unsigned seed = 7;
static const struct pst_tsig_key key = {"acme-key", "hmac-sha256", fake_mac, &seed};

static const struct pst_dns_update update = {
    .zone = "example.com",
    .name = "_acme-challenge.example.com",
    .txt = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0",
    .ttl_s = 60,
    .id = 0x1234,
};

static void check_hex(const struct pst_buf *b, const char *hex)
{
    auto_(pst_free) char *got = pst_alloc(2 * b->len + 1);
    pst_hex(got, b->data, b->len);
    assert_string_equal(got, hex);
}

#define ADD_HEX                                                                                    \
    "123428000001000000010000076578616d706c6503636f6d00000600010f5f61636d652d6368616c6c656e6765"   \
    "c00c001000010000003c002c2b4c6f71586359563871354f4e624a5178626d52375343544e6f3374694158"       \
    "44666f77796a78416a45755830"

static void test_bytes(void **state)
{
    auto_buf struct pst_buf add = PST_BUF(2000), remove = PST_BUF(2000);
    struct pst_dns_update u = update;

    assert_int_equal(pst_dns_update_write(&u, NULL, 0, &add, NULL, NULL), PST_OK);
    check_hex(&add, ADD_HEX);
    u.remove = true;
    u.id = 0x1235;
    assert_int_equal(pst_dns_update_write(&u, NULL, 0, &remove, NULL, NULL), PST_OK);
    check_hex(&remove,
              "123528000001000000010000076578616d706c6503636f6d00000600010f5f61636d652d6368616c6c65"
              "6e6765c00c001000fe00000000002c2b4c6f71586359563871354f4e624a5178626d52375343544e6f33"
              "746941584466"
              "6f77796a78416a45755830");
}

/* What the MAC covers: the message, and the variables of RFC 8945 section 4.3.3. */
static struct pst_buf covered = PST_BUF(4096);

static int keep_mac(void *arg, const void *data, size_t len, uint8_t ret[PST_TSIG_MAC_MAX],
                    size_t *ret_len, struct pst_err *err)
{
    pst_buf_cut(&covered, 0);
    pst_buf_add(&covered, data, len);
    memset(ret, 0xab, 32);
    *ret_len = 32;
    return PST_OK;
}

static void test_signed_bytes(void **state)
{
    struct pst_tsig_key keeper = {"acme-key", "hmac-sha256", keep_mac, NULL};
    auto_buf struct pst_buf b = PST_BUF(2000);
    struct pst_tsig_mac mac;

    assert_int_equal(pst_dns_update_write(&update, &keeper, 1700000000, &b, &mac, NULL), PST_OK);
    check_hex(&covered, ADD_HEX "0861636d652d6b65790000ff000000000b686d61632d7368613235360000006553"
                                "f100012c00000000");
    assert_int_equal(b.len, 182);
    assert_memory_equal(b.data + 10, "\0\1", 2);
    struct pst_buf tail = {.data = b.data + 101, .len = b.len - 101};
    check_hex(&tail, "0861636d652d6b65790000fa00ff00000000003d0b686d61632d7368613235360000006553f1"
                     "00012c0020"
                     "abababababababababababababababababababababababababababababababab"
                     "123400000000");
    pst_buf_deinit(&covered);
}

static void test_refused(void **state)
{
    static const struct pst_dns_update bad[] = {
        {.zone = "example.com", .name = "example.org", .txt = "x"},
        {.zone = "example.com", .name = "badexample.com", .txt = "x"},
        {.zone = "example.com", .name = "a b.example.com", .txt = "x"},
        {.zone = "", .name = "a.example.com", .txt = "x"},
        {.zone = "example.com", .name = "a.example.com", .txt = ""},
    };
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        auto_buf struct pst_buf b = PST_BUF(2000);
        struct pst_err err = {0};
        assert_int_equal(pst_dns_update_write(&bad[i], NULL, 0, &b, NULL, &err), PST_REFUSED);
        assert_true(err.text[0]);
    }
}

/* ---- answers ---- */

struct answer {
    uint8_t bytes[1024];
    size_t len;
};

static void put(struct answer *a, const void *data, size_t len)
{
    memcpy(a->bytes + a->len, data, len);
    a->len += len;
}

/* An answer as a server makes it: header, our question, TSIG with this MAC. */
static void answer(struct answer *a, int rcode, int tsig_error, const struct pst_tsig_mac *request,
                   int64_t at, const struct pst_tsig_key *with)
{
    uint8_t head[12] = {0x12, 0x34, 0xa8, (uint8_t)rcode};
    uint8_t time[8] = {
        0, 0, (uint8_t)(at >> 24), (uint8_t)(at >> 16), (uint8_t)(at >> 8), (uint8_t)at, 1, 0x2c};
    uint8_t other[6] = {0, 0, 0x65, 0x53, 0xf5, 0x00};
    uint8_t error[4] = {0, (uint8_t)tsig_error, 0, tsig_error == PST_TSIG_BADTIME ? 6 : 0};
    static const char alg[] = "\13hmac-sha256";
    auto_buf struct pst_buf cover = PST_BUF(4096);
    uint8_t mac[PST_TSIG_MAC_MAX];
    size_t mac_len = 0;

    memset(a, 0, sizeof *a);
    if (with) {
        uint8_t prefix[2] = {0, (uint8_t)request->len};
        pst_buf_add(&cover, prefix, 2);
        pst_buf_add(&cover, request->bytes, request->len);
        pst_buf_add(&cover, head, 12);
        pst_buf_add(&cover, "\10acme-key\0\0\xff\0\0\0\0", 16);
        pst_buf_add(&cover, alg, sizeof alg);
        pst_buf_add(&cover, time, 8);
        pst_buf_add(&cover, error, 4);
        pst_buf_add(&cover, other, error[3]);
        with->mac(with->arg, cover.data, cover.len, mac, &mac_len, NULL);
    }
    head[11] = 1;
    put(a, head, 12);
    put(a, "\10acme-key\0\0\xfa\0\xff\0\0\0\0", 18);
    uint8_t len[2] = {0, (uint8_t)(sizeof alg + 8 + 2 + mac_len + 2 + 4 + error[3])};
    put(a, len, 2);
    put(a, alg, sizeof alg);
    put(a, time, 8);
    uint8_t size[2] = {0, (uint8_t)mac_len};
    put(a, size, 2);
    put(a, mac, mac_len);
    put(a, "\x12\x34", 2);
    put(a, error, 4);
    put(a, other, error[3]);
}

static const int64_t now = 1700000000;

static int read_answer(const struct answer *a, const struct pst_tsig_mac *mac,
                       struct pst_dns_update_result *ret)
{
    struct pst_err err = {0};
    return pst_dns_update_read(a->bytes, a->len, 0x1234, &key, mac, now, ret, &err);
}

static struct pst_tsig_mac request_mac(void)
{
    auto_buf struct pst_buf b = PST_BUF(2000);
    struct pst_tsig_mac mac;
    assert_int_equal(pst_dns_update_write(&update, &key, now, &b, &mac, NULL), PST_OK);
    return mac;
}

static void test_answers(void **state)
{
    struct pst_tsig_mac mac = request_mac();
    struct pst_dns_update_result r = {0};
    unsigned other_seed = 8;
    struct pst_tsig_key other = {"acme-key", "hmac-sha256", fake_mac, &other_seed};
    struct answer a;

    answer(&a, 0, 0, &mac, now + 100, &key);
    assert_int_equal(read_answer(&a, &mac, &r), PST_OK);
    assert_int_equal(r.rcode, 0);
    assert_true(r.is_signed);

    /* Somebody else's key; a signature for another request; an old one; none. */
    answer(&a, 0, 0, &mac, now, &other);
    assert_int_equal(read_answer(&a, &mac, &r), PST_EINPUT);
    mac.bytes[0] ^= 1;
    answer(&a, 0, 0, &mac, now, &key);
    mac.bytes[0] ^= 1;
    assert_int_equal(read_answer(&a, &mac, &r), PST_EINPUT);
    answer(&a, 0, 0, &mac, now - 301, &key);
    assert_int_equal(read_answer(&a, &mac, &r), PST_EINPUT);
    answer(&a, 0, 0, &mac, now, NULL);
    assert_int_equal(read_answer(&a, &mac, &r), PST_EINPUT);

    /* The key itself is refused: not signed. */
    answer(&a, 9, PST_TSIG_BADKEY, &mac, now, NULL);
    assert_int_equal(read_answer(&a, &mac, &r), PST_OK);
    assert_int_equal(r.rcode, 9);
    assert_int_equal(r.tsig_error, PST_TSIG_BADKEY);
    assert_false(r.is_signed);

    /* The clock differs: signed, and the server tells its time. */
    answer(&a, 9, PST_TSIG_BADTIME, &mac, now, &key);
    assert_int_equal(read_answer(&a, &mac, &r), PST_OK);
    assert_int_equal(r.tsig_error, PST_TSIG_BADTIME);
    assert_int_equal(r.server_time, 1700001024);
}

/* No byte of a signed answer may change, and none may be missing. */
static void test_hostile_answers(void **state)
{
    struct pst_tsig_mac mac = request_mac();
    struct pst_dns_update_result r = {0};
    struct answer a;

    answer(&a, 0, 0, &mac, now, &key);
    for (size_t i = 0; i < a.len; i++) {
        struct answer bad = a;
        bad.bytes[i] ^= 0x04;
        int rc = read_answer(&bad, &mac, &r);
        /* A flipped rcode may look like an unsigned refusal only when TSIG is gone; the names of
         * key and algorithm are compared without regard to case, which this flip never touches. */
        assert_int_equal(rc, PST_EINPUT);
        bad = a;
        bad.len = i;
        assert_int_equal(read_answer(&bad, &mac, &r), PST_EINPUT);
    }
    struct answer longer = a;
    put(&longer, "x", 1);
    assert_int_equal(read_answer(&longer, &mac, &r), PST_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),           cmocka_unit_test(test_signed_bytes),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_answers),
        cmocka_unit_test(test_hostile_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
