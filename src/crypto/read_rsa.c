/*
 * read_rsa.c - do the numbers of an RSA key fit each other?
 *
 * The library's own check also tests the factors for being prime, which takes 40 ms at 2048 bits
 * and half a second at 4096.  The equations between the numbers and one signature show the same for
 * a key that was damaged; who makes a key with composite factors on purpose harms only himself.
 */
#include "read_internal.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

PST_CLEANUP(BN_CTX, BN_CTX_free);

enum part { N, E, D, P, Q, DP, DQ, QINV, PARTS };

struct rsa {
    BIGNUM *part[PARTS];
    BIGNUM *p1, *q1, *t; /* p - 1, q - 1, scratch */
};

static void rsa_free(struct rsa *r)
{
    for (size_t i = 0; i < PARTS; i++)
        BN_clear_free(r->part[i]);
    BN_clear_free(r->p1);
    BN_clear_free(r->q1);
    BN_clear_free(r->t);
}

/* Numbers in such a file may be of any length; none may be longer than the modulus. */
static bool get_parts(const EVP_PKEY *pkey, struct rsa *r)
{
    static const char *const names[PARTS] = {
        [N] = OSSL_PKEY_PARAM_RSA_N,          [E] = OSSL_PKEY_PARAM_RSA_E,
        [D] = OSSL_PKEY_PARAM_RSA_D,          [P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
        [Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,    [DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
        [DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2, [QINV] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };

    for (size_t i = 0; i < PARTS; i++)
        if (EVP_PKEY_get_bn_param(pkey, names[i], &r->part[i]) != 1 || BN_is_zero(r->part[i]) ||
            BN_is_negative(r->part[i]) || BN_num_bits(r->part[i]) > BN_num_bits(r->part[N]))
            return false;
    r->p1 = BN_dup(r->part[P]);
    r->q1 = BN_dup(r->part[Q]);
    r->t = BN_new();
    return r->p1 && r->q1 && r->t && BN_sub_word(r->p1, 1) == 1 && BN_sub_word(r->q1, 1) == 1 &&
           !BN_is_zero(r->p1) && !BN_is_zero(r->q1);
}

/* a * b = 1 modulo m */
static bool inverse(struct rsa *r, const BIGNUM *a, const BIGNUM *b, const BIGNUM *m, BN_CTX *ctx)
{
    return BN_mod_mul(r->t, a, b, m, ctx) == 1 && BN_is_one(r->t);
}

/* a = b modulo m */
static bool rest(struct rsa *r, const BIGNUM *a, const BIGNUM *b, const BIGNUM *m, BN_CTX *ctx)
{
    return BN_nnmod(r->t, b, m, ctx) == 1 && BN_cmp(r->t, a) == 0;
}

static bool equations_hold(struct rsa *r, BN_CTX *ctx)
{
    BIGNUM *const *x = r->part;

    return BN_mul(r->t, x[P], x[Q], ctx) == 1 && BN_cmp(r->t, x[N]) == 0 &&
           inverse(r, x[D], x[E], r->p1, ctx) && inverse(r, x[D], x[E], r->q1, ctx) &&
           rest(r, x[DP], x[D], r->p1, ctx) && rest(r, x[DQ], x[D], r->q1, ctx) &&
           inverse(r, x[QINV], x[Q], x[P], ctx);
}

static bool signs(EVP_PKEY *pkey)
{
    static const unsigned char text[] = "does this key sign?";
    auto_(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[2048];
    size_t len = sizeof sig;

    if (!ctx || (size_t)EVP_PKEY_get_size(pkey) > sizeof sig ||
        EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) != 1 ||
        EVP_DigestSign(ctx, sig, &len, text, sizeof text) != 1)
        return false;
    return EVP_MD_CTX_reset(ctx) == 1 &&
           EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
           EVP_DigestVerify(ctx, sig, len, text, sizeof text) == 1;
}

int pst_rsa_verify(EVP_PKEY *pkey, struct pst_err *err)
{
    auto_(BN_CTX_free) BN_CTX *ctx = BN_CTX_secure_new();
    struct rsa parts = {0};
    bool ok;

    if (!ctx)
        return pst_fail_ossl(err, PST_ENOMEM, "checking a private key");
    ok = get_parts(pkey, &parts) && equations_hold(&parts, ctx);
    rsa_free(&parts);
    if (!ok || !signs(pkey))
        return pst_read_refuse(err, "damaged", "the private key contradicts itself");
    ERR_clear_error();
    return PST_OK;
}
