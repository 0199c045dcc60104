/* seal_test.c - keyring, local key, boxes: round trips, layouts, and tampering with every byte. */
#include "crypto_test_help.h"
#include <pthread.h>
#include <sys/stat.h>

static const char secret_text[] = "correct horse battery staple";

static int set_up(void **state)
{
    *state = help_keyring();
    return 0;
}

static int tear_down(void **state)
{
    pst_keyring_free(*state);
    return 0;
}

/* ---- keyring ---- */

static void sealed_blob_has_its_layout_and_opens(void **state)
{
    struct pst_keyring *kr = *state;
    auto_buf struct pst_buf blob = PST_BUF(4096);
    auto_secret struct pst_secret plain = {0};
    struct pst_err err = {0};

    pst_buf_str(&blob, "before");
    assert_ok(
        pst_seal(kr, "variable", "0123456789ab", secret_text, sizeof secret_text, &blob, &err),
        err);
    assert_int_equal(blob.len, 6 + sizeof secret_text + PST_SEAL_OVERHEAD);
    assert_memory_equal(blob.data, "before", 6);
    assert_int_equal(blob.data[6], 1);
    assert_null(memmem(blob.data, blob.len, "horse", 5));
    assert_ok(pst_unseal(kr, "variable", "0123456789ab", blob.data + 6, blob.len - 6, &plain, &err),
              err);
    assert_int_equal(plain.len, sizeof secret_text);
    assert_memory_equal(plain.data, secret_text, sizeof secret_text);
}

static void nothing_and_the_longest_can_be_sealed(void **state)
{
    struct pst_keyring *kr = *state;
    auto_buf struct pst_buf blob = PST_BUF(PST_SEAL_MAX + 100);
    auto_(pst_free) char *big = pst_zalloc(1, PST_SEAL_MAX + 1);
    auto_secret struct pst_secret plain = {0};
    struct pst_err err = {0};

    assert_ok(pst_seal(kr, "k", "i", "", 0, &blob, &err), err);
    assert_int_equal(blob.len, PST_SEAL_OVERHEAD);
    assert_ok(pst_unseal(kr, "k", "i", blob.data, blob.len, &plain, &err), err);
    assert_int_equal(plain.len, 0);

    pst_buf_cut(&blob, 0);
    assert_ok(pst_seal(kr, "k", "i", big, PST_SEAL_MAX, &blob, &err), err);
    assert_ok(pst_unseal(kr, "k", "i", blob.data, blob.len, &plain, &err), err);
    assert_int_equal(plain.len, PST_SEAL_MAX);
    assert_rc(pst_seal(kr, "k", "i", big, PST_SEAL_MAX + 1, &blob, &err), PST_EINPUT, err);
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    struct pst_keyring *kr = *state;
    auto_buf struct pst_buf small = PST_BUF(40);
    struct pst_err err = {0};

    pst_buf_str(&small, "kept");
    assert_rc(pst_seal(kr, "k", "i", secret_text, 20, &small, &err), PST_EINPUT, err);
    assert_int_equal(small.len, 4);
    assert_memory_equal(small.data, "kept", 4);
}

static void every_changed_byte_is_noticed(void **state)
{
    struct pst_keyring *kr = *state;
    auto_buf struct pst_buf blob = PST_BUF(4096);
    auto_secret struct pst_secret plain = {0};
    struct pst_err err = {0};

    assert_ok(pst_seal(kr, "k", "i", secret_text, sizeof secret_text, &blob, &err), err);
    for (size_t i = 0; i < blob.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            blob.data[i] ^= (char)(1 << bit);
            assert_rc(pst_unseal(kr, "k", "i", blob.data, blob.len, &plain, &err), PST_EINTERNAL,
                      err);
            blob.data[i] ^= (char)(1 << bit);
        }
    }
    for (size_t len = 0; len < blob.len; len++)
        assert_rc(pst_unseal(kr, "k", "i", blob.data, len, &plain, &err), PST_EINTERNAL, err);
    assert_null(plain.data);
    assert_ok(pst_unseal(kr, "k", "i", blob.data, blob.len, &plain, &err), err);
}

static void a_blob_opens_only_where_it_belongs(void **state)
{
    struct pst_keyring *kr = *state;
    auto_buf struct pst_buf blob = PST_BUF(4096);
    auto_secret struct pst_secret plain = {0};
    struct pst_err err = {0};

    assert_ok(pst_seal(kr, "kind", "id", "x", 1, &blob, &err), err);
    assert_rc(pst_unseal(kr, "kind", "other", blob.data, blob.len, &plain, &err), PST_EINTERNAL,
              err);
    assert_rc(pst_unseal(kr, "other", "id", blob.data, blob.len, &plain, &err), PST_EINTERNAL, err);
    assert_rc(pst_seal(kr, "", "id", "x", 1, &blob, &err), PST_EINTERNAL, err);
    assert_rc(pst_seal(kr, "a/b", "id", "x", 1, &blob, &err), PST_EINTERNAL, err);
    assert_rc(pst_seal(kr, "kind", "", "x", 1, &blob, &err), PST_EINTERNAL, err);
}

static void blobs_outlive_a_change_of_data_key(void **state)
{
    struct pst_keyring *kr = *state;
    auto_buf struct pst_buf old = PST_BUF(4096), new = PST_BUF(4096), wrapped = PST_BUF(256);
    auto_secret struct pst_secret plain = {0};
    struct pst_err err = {0};

    assert_ok(pst_seal(kr, "k", "i", "old", 3, &old, &err), err);
    assert_ok(pst_keyring_new_data_key(kr, &wrapped, &err), err);
    assert_int_equal(wrapped.len, PST_WRAPPED_KEY_LEN);
    assert_ok(pst_seal(kr, "k", "i", "new", 3, &new, &err), err);
    assert_memory_equal(old.data + 1, new.data + 1, 4); /* not used before it is added */

    assert_ok(pst_keyring_add_data_key(kr, wrapped.data, wrapped.len, &err), err);
    pst_buf_cut(&new, 0);
    assert_ok(pst_seal(kr, "k", "i", "new", 3, &new, &err), err);
    assert_memory_not_equal(old.data + 1, new.data + 1, 4);
    assert_ok(pst_unseal(kr, "k", "i", old.data, old.len, &plain, &err), err);
    assert_memory_equal(plain.data, "old", 3);
}

static void tampering_with_a_wrapped_key_is_noticed(void **state)
{
    struct pst_keyring *kr = *state;
    auto_buf struct pst_buf wrapped = PST_BUF(256);
    struct pst_err err = {0};

    assert_ok(pst_keyring_new_data_key(kr, &wrapped, &err), err);
    for (size_t i = 0; i < wrapped.len; i++) {
        int rc;

        wrapped.data[i] ^= 0x10;
        rc = pst_keyring_add_data_key(kr, wrapped.data, wrapped.len, &err);
        assert_int_equal(rc, i >= 1 && i < 5 ? PST_ECONFIG : PST_EINTERNAL);
        wrapped.data[i] ^= 0x10;
    }
    assert_rc(pst_keyring_add_data_key(kr, wrapped.data, wrapped.len - 1, &err), PST_EINTERNAL,
              err);
}

/* ---- the master key file ---- */

struct folder {
    char path[64];
    char file[128];
};

static void write_file(const struct folder *f, const char *text, mode_t mode)
{
    FILE *out = fopen(f->file, "w");

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(f->file, mode), 0);
}

static int folder_up(void **state)
{
    struct folder *f = pst_zalloc(1, sizeof *f);

    (void)snprintf(f->path, sizeof f->path, "/tmp/postern-crypto-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    (void)snprintf(f->file, sizeof f->file, "%s/master.key", f->path);
    *state = f;
    return 0;
}

static int folder_down(void **state)
{
    struct folder *f = *state;

    (void)unlink(f->file);
    assert_int_equal(rmdir(f->path), 0);
    pst_free(f);
    return 0;
}

#define KEY_1 "postern-master-key-v1 00000001 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
#define KEY_2 "postern-master-key-v1 00000002 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"

static void a_new_master_key_is_private_and_never_replaced(void **state)
{
    struct folder *f = *state;
    struct pst_keyring *kr = NULL;
    struct pst_err err = {0};
    struct stat st;

    assert_rc(pst_keyring_open(&kr, f->file, pst_rand_system(), &err), PST_NOTFOUND, err);
    assert_ok(pst_keyring_create_file(f->file, pst_rand_system(), &err), err);
    assert_int_equal(stat(f->file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_rc(pst_keyring_create_file(f->file, pst_rand_system(), &err), PST_CONFLICT, err);
    assert_ok(pst_keyring_open(&kr, f->file, pst_rand_system(), &err), err);
    assert_rc(pst_seal(kr, "k", "i", "x", 1, &(struct pst_buf)PST_BUF(64), &err), PST_ECONFIG, err);
    pst_keyring_free(kr);
}

static void loose_or_odd_files_are_refused(void **state)
{
    static const char *const odd[] = {
        "",
        "\n",
        "postern-master-key-v2 00000001 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "postern-master-key-v1 0000001 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "postern-master-key-v1 0000000g AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "postern-master-key-v1 00000001 AAAA\n",
        "postern-master-key-v1 00000001 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "postern-master-key-v1 00000001",
        "postern-master-key-v1",
        KEY_1 "x\n",
        KEY_1 KEY_1,
        "postern-master-key-v1 00000001 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
    };
    struct folder *f = *state;
    struct pst_keyring *kr = NULL;
    struct pst_err err = {0};

    for (size_t i = 0; i < PST_ARRAY_N(odd); i++) {
        write_file(f, odd[i], 0600);
        assert_rc(pst_keyring_open(&kr, f->file, pst_rand_system(), &err), PST_ECONFIG, err);
        assert_null(strstr(err.text, "AAAA")); /* no key in an error */
    }
    write_file(f, KEY_1, 0640);
    assert_rc(pst_keyring_open(&kr, f->file, pst_rand_system(), &err), PST_ECONFIG, err);
    write_file(f, KEY_1, 0604);
    assert_rc(pst_keyring_open(&kr, f->file, pst_rand_system(), &err), PST_ECONFIG, err);
    assert_null(kr);
}

static void a_credential_is_read_from_its_folder(void **state)
{
    struct folder *f = *state;
    struct pst_keyring *kr = NULL;
    struct pst_err err = {0};

    write_file(f, KEY_1, 0440);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_rc(pst_keyring_open(&kr, "credential:master.key", pst_rand_system(), &err), PST_ECONFIG,
              err);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->path, 1), 0);
    assert_ok(pst_keyring_open(&kr, "credential:master.key", pst_rand_system(), &err), err);
    pst_keyring_free(pst_take(&kr));
    assert_rc(pst_keyring_open(&kr, "credential:none", pst_rand_system(), &err), PST_NOTFOUND, err);
    assert_rc(pst_keyring_open(&kr, "credential:../x", pst_rand_system(), &err), PST_ECONFIG, err);
    write_file(f, KEY_1, 0444);
    assert_rc(pst_keyring_open(&kr, "credential:master.key", pst_rand_system(), &err), PST_ECONFIG,
              err);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void a_new_master_key_needs_new_wrapping_only(void **state)
{
    struct folder *f = *state;
    struct pst_keyring *kr = NULL;
    auto_buf struct pst_buf wrapped = PST_BUF(256), again = PST_BUF(256), blob = PST_BUF(256);
    auto_secret struct pst_secret plain = {0};
    struct pst_err err = {0};

    write_file(f, KEY_1, 0600);
    assert_ok(pst_keyring_open(&kr, f->file, pst_rand_system(), &err), err);
    assert_ok(pst_keyring_new_data_key(kr, &wrapped, &err), err);
    assert_ok(pst_keyring_add_data_key(kr, wrapped.data, wrapped.len, &err), err);
    assert_ok(pst_seal(kr, "k", "i", "text", 4, &blob, &err), err);
    assert_rc(pst_keyring_rewrap(kr, wrapped.data, wrapped.len, &again, &err), PST_DONE, err);
    pst_keyring_free(pst_take(&kr));

    write_file(f, KEY_2 KEY_1, 0600); /* both, for the change */
    assert_ok(pst_keyring_open(&kr, f->file, pst_rand_system(), &err), err);
    assert_ok(pst_keyring_rewrap(kr, wrapped.data, wrapped.len, &again, &err), err);
    pst_keyring_free(pst_take(&kr));

    write_file(f, KEY_2, 0600);
    assert_ok(pst_keyring_open(&kr, f->file, pst_rand_system(), &err), err);
    assert_rc(pst_keyring_add_data_key(kr, wrapped.data, wrapped.len, &err), PST_ECONFIG, err);
    assert_ok(pst_keyring_add_data_key(kr, again.data, again.len, &err), err);
    assert_ok(pst_unseal(kr, "k", "i", blob.data, blob.len, &plain, &err), err);
    assert_memory_equal(plain.data, "text", 4);
    pst_keyring_free(kr);
}

/* ---- threads ---- */

static void *seal_a_lot(void *arg)
{
    struct pst_keyring *kr = arg;
    intptr_t bad = 0;

    for (int i = 0; i < 200; i++) {
        auto_buf struct pst_buf blob = PST_BUF(256), wrapped = PST_BUF(256);
        auto_secret struct pst_secret plain = {0};

        if (i % 50 == 0 &&
            (pst_keyring_new_data_key(kr, &wrapped, NULL) != PST_OK ||
             pst_keyring_add_data_key(kr, wrapped.data, wrapped.len, NULL) != PST_OK))
            bad++;
        if (pst_seal(kr, "k", "i", "abc", 3, &blob, NULL) != PST_OK ||
            pst_unseal(kr, "k", "i", blob.data, blob.len, &plain, NULL) != PST_OK || plain.len != 3)
            bad++;
    }
    return (void *)bad;
}

static void many_threads_share_a_keyring(void **state)
{
    pthread_t threads[4];

    for (size_t i = 0; i < PST_ARRAY_N(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, seal_a_lot, *state), 0);
    for (size_t i = 0; i < PST_ARRAY_N(threads); i++) {
        void *bad;

        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
}

/* ---- local key ---- */

static void local_blob_has_exactly_its_layout(void **state)
{
    static const uint8_t secret[32] = {1, 2, 3};
    auto_buf struct pst_buf blob = PST_BUF(256);
    auto_secret struct pst_secret plain = {0};
    struct pst_seal_key *key = NULL;
    struct pst_err err = {0};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t text[8];
    int n = 0;

    (void)state;
    assert_ok(pst_seal_key_new(&key, secret, pst_rand_system(), &err), err);
    assert_ok(pst_local_seal(key, "cert", "17", "edge key", 8, &blob, &err), err);
    assert_int_equal(blob.len, 1 + 4 + 12 + 8 + 16);
    assert_memory_equal(blob.data, "\1\0\0\0\0", 5);

    /* Read it as the edge module does, knowing only the layout. */
    assert_int_equal(
        EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), secret, (const uint8_t *)blob.data + 5, NULL),
        1);
    assert_int_equal(EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)"cert/17", 7), 1);
    assert_int_equal(EVP_DecryptUpdate(ctx, text, &n, (const uint8_t *)blob.data + 17, 8), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, blob.data + 25), 1);
    assert_int_equal(EVP_DecryptFinal_ex(ctx, text + n, &n), 1);
    assert_memory_equal(text, "edge key", 8);
    EVP_CIPHER_CTX_free(ctx);

    assert_ok(pst_local_unseal(key, "cert", "17", blob.data, blob.len, &plain, &err), err);
    assert_memory_equal(plain.data, "edge key", 8);
    assert_rc(pst_local_unseal(key, "cert", "18", blob.data, blob.len, &plain, &err), PST_EINTERNAL,
              err);
    for (size_t i = 0; i < blob.len; i++) {
        blob.data[i] ^= 1;
        assert_rc(pst_local_unseal(key, "cert", "17", blob.data, blob.len, &plain, &err),
                  PST_EINTERNAL, err);
        blob.data[i] ^= 1;
    }
    pst_seal_key_free(key);
}

/* ---- boxes ---- */

static void a_box_opens_for_its_holder_only(void **state)
{
    auto_secret struct pst_secret mine = {0}, other = {0}, plain = {0};
    auto_buf struct pst_buf box = PST_BUF(4096);
    uint8_t my_public[32], other_public[32], again[32];
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_box_keypair(&mine, my_public, &err), err);
    assert_ok(pst_box_keypair(&other, other_public, &err), err);
    assert_int_equal(mine.len, 32);
    assert_ok(pst_box_public(&mine, again, &err), err);
    assert_memory_equal(again, my_public, 32);

    assert_ok(pst_box_seal(my_public, "cert/1", secret_text, sizeof secret_text, &box, &err), err);
    assert_int_equal(box.len, sizeof secret_text + PST_BOX_OVERHEAD);
    assert_ok(pst_box_open(&mine, "cert/1", box.data, box.len, &plain, &err), err);
    assert_int_equal(plain.len, sizeof secret_text);
    assert_memory_equal(plain.data, secret_text, sizeof secret_text);
    assert_rc(pst_box_open(&other, "cert/1", box.data, box.len, &plain, &err), PST_EINPUT, err);
    assert_rc(pst_box_open(&mine, "cert/2", box.data, box.len, &plain, &err), PST_EINPUT, err);
    for (size_t i = 0; i < box.len; i++) {
        box.data[i] ^= 4;
        assert_rc(pst_box_open(&mine, "cert/1", box.data, box.len, &plain, &err), PST_EINPUT, err);
        box.data[i] ^= 4;
    }
    for (size_t len = 0; len < box.len; len++)
        assert_rc(pst_box_open(&mine, "cert/1", box.data, len, &plain, &err), PST_EINPUT, err);
}

static void a_point_of_small_order_is_refused(void **state)
{
    static const uint8_t zero[32], one[32] = {1};
    auto_buf struct pst_buf box = PST_BUF(4096);
    struct pst_err err = {0};

    (void)state;
    assert_rc(pst_box_seal(zero, "a", "x", 1, &box, &err), PST_EINPUT, err);
    assert_rc(pst_box_seal(one, "a", "x", 1, &box, &err), PST_EINPUT, err);
    assert_int_equal(box.len, 0);
}

/* The key schedule, repeated from its description by other means. */
static void a_box_follows_its_description(void **state)
{
    auto_secret struct pst_secret mine = {0};
    auto_buf struct pst_buf box = PST_BUF(256);
    uint8_t my_public[32], salt[64], prk[32], key[32], shared[32], out[16];
    struct pst_err err = {0};
    size_t n = sizeof shared;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    static const uint8_t nonce[12];
    int k = 0;

    (void)state;
    assert_ok(pst_box_keypair(&mine, my_public, &err), err);
    assert_ok(pst_box_seal(my_public, "a/b", "hello", 5, &box, &err), err);

    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, mine.data, 32);
    EVP_PKEY *peer =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, (uint8_t *)box.data + 1, 32);
    EVP_PKEY_CTX *kex = EVP_PKEY_CTX_new(own, NULL);
    assert_int_equal(EVP_PKEY_derive_init(kex), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer(kex, peer), 1);
    assert_int_equal(EVP_PKEY_derive(kex, shared, &n), 1);

    /* RFC 5869: extract, then the first block of expand. */
    memcpy(salt, box.data + 1, 32);
    memcpy(salt + 32, my_public, 32);
    assert_ok(pst_hmac_sha256(salt, 64, shared, 32, prk, &err), err);
    assert_ok(pst_hmac_sha256(prk, 32, "postern box v1\1", 15, key, &err), err);

    assert_int_equal(EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL), 1);
    assert_int_equal(EVP_DecryptUpdate(ctx, NULL, &k, (const uint8_t *)"a/b", 3), 1);
    assert_int_equal(EVP_DecryptUpdate(ctx, out, &k, (uint8_t *)box.data + 33, 5), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, box.data + 38), 1);
    assert_int_equal(EVP_DecryptFinal_ex(ctx, out + k, &k), 1);
    assert_memory_equal(out, "hello", 5);
    EVP_CIPHER_CTX_free(ctx);
    EVP_PKEY_CTX_free(kex);
    EVP_PKEY_free(own);
    EVP_PKEY_free(peer);
}

/* ---- memory ---- */

static void sealing_survives_no_memory(void **state)
{
    struct pst_keyring *kr = *state;
    auto_buf struct pst_buf sealed = PST_BUF(256), wrapped = PST_BUF(256);
    struct pst_err err = {0};
    int rc = PST_OK;

    assert_ok(pst_seal(kr, "k", "i", "abc", 3, &sealed, &err), err);
    assert_ok(pst_keyring_new_data_key(kr, &wrapped, &err), err);
    assert_survives_no_memory(rc, {
        auto_buf struct pst_buf blob = PST_BUF(256);
        rc = pst_seal(kr, "k", "i", "abc", 3, &blob, &err);
    });
    assert_survives_no_memory(rc, {
        auto_secret struct pst_secret plain = {0};
        rc = pst_unseal(kr, "k", "i", sealed.data, sealed.len, &plain, &err);
    });
    assert_survives_no_memory(
        rc, { rc = pst_keyring_add_data_key(kr, wrapped.data, wrapped.len, &err); });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_blob_has_its_layout_and_opens),
        cmocka_unit_test(nothing_and_the_longest_can_be_sealed),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(a_blob_opens_only_where_it_belongs),
        cmocka_unit_test(blobs_outlive_a_change_of_data_key),
        cmocka_unit_test(tampering_with_a_wrapped_key_is_noticed),
        cmocka_unit_test_setup_teardown(a_new_master_key_is_private_and_never_replaced, folder_up,
                                        folder_down),
        cmocka_unit_test_setup_teardown(loose_or_odd_files_are_refused, folder_up, folder_down),
        cmocka_unit_test_setup_teardown(a_credential_is_read_from_its_folder, folder_up,
                                        folder_down),
        cmocka_unit_test_setup_teardown(a_new_master_key_needs_new_wrapping_only, folder_up,
                                        folder_down),
        cmocka_unit_test(many_threads_share_a_keyring),
        cmocka_unit_test(local_blob_has_exactly_its_layout),
        cmocka_unit_test(a_box_opens_for_its_holder_only),
        cmocka_unit_test(a_point_of_small_order_is_refused),
        cmocka_unit_test(a_box_follows_its_description),
        cmocka_unit_test(sealing_survives_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
