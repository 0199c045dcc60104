/* crypto.c - start-up checks, process hygiene, and OpenSSL's error queue turned into our faults. */
#include "crypto_internal.h"
#include <openssl/err.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int pst_fail_ossl_(struct pst_err *err, int rc, const char *file, int line, const char *what)
{
    const char *reason = NULL;
    unsigned long code;

    while ((code = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
            rc = PST_ENOMEM;
        reason = ERR_reason_error_string(code);
    }
    return pst_fail_(err, rc, file, line, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

int pst_name_problem(struct pst_err *err, const char *problem, int rc)
{
    pst_err_problem(err, problem);
    return rc;
}

int pst_out(struct pst_buf *to, const void *data, size_t len, const char *what, struct pst_err *err)
{
    size_t before = to->len;
    int rc;

    pst_buf_add(to, data, len);
    rc = pst_buf_check(to, what, err);
    if (rc < 0)
        pst_buf_cut(to, before);
    return rc;
}

static int no_core(struct pst_err *err)
{
    static const struct rlimit none = {0, 0};

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return pst_fail_sys(err, "switching core dumps off");
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return pst_fail_sys(err, "setting the core file limit");
    return PST_OK;
}

/* A box made and opened uses every algorithm that has no other user at start. */
static int self_check(struct pst_err *err)
{
    auto_secret struct pst_secret secret = {0}, plain = {0};
    auto_buf struct pst_buf box = PST_BUF(256);
    uint8_t public_key[32], mac[PST_SHA256_LEN];
    int rc;

    rc = pst_box_keypair(&secret, public_key, err);
    if (rc == PST_OK)
        rc = pst_box_seal(public_key, "check/start", "postern", 7, &box, err);
    if (rc == PST_OK)
        rc = pst_box_open(&secret, "check/start", box.data, box.len, &plain, err);
    if (rc == PST_OK)
        rc = pst_hmac_sha256("k", 1, "v", 1, mac, err);
    return rc;
}

int pst_crypto_init(bool no_core_dumps, struct pst_err *err)
{
    int rc;

    if (no_core_dumps) {
        rc = no_core(err);
        if (rc < 0)
            return rc;
    }
    /* Threads may still run while a process exits: the library's own exit handler would free what
     * they use. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        return pst_fail_ossl(err, PST_ECONFIG, "starting OpenSSL");

    rc = self_check(err);
    if (rc == PST_ENOMEM)
        return rc;
    if (rc < 0)
        return pst_fail(err, PST_ECONFIG,
                        "OpenSSL lacks AES-256-GCM, X25519, HKDF or HMAC: see the providers in its "
                        "configuration");
    return PST_OK;
}
