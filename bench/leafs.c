/*
 * leafs.c - lines for an import, each with a certificate of its own:  leafs N APPS
 *
 * Prints N lines for the apps load-0 .. load-(APPS-1).  An authority that lives as long as this
 * program signs a P-256 leaf for each name, through one intermediate.  For bench/run.
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_S = 86400, DAYS = 90 };

static void die(const char *what)
{
    fprintf(stderr, "leafs: %s\n", what);
    exit(1);
}

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    if (!e || !X509_add_ext(x, e, -1))
        die("an extension");
    X509_EXTENSION_free(e);
}

static void set_name(X509_NAME *to, const char *cn)
{
    if (!X509_NAME_add_entry_by_txt(to, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0))
        die("a name");
}

/* A certificate without its extensions and signature. */
static X509 *begin(EVP_PKEY *key, const char *cn, const X509_NAME *issuer, long serial)
{
    X509 *x = X509_new();

    if (!x || !X509_set_version(x, X509_VERSION_3) ||
        !ASN1_INTEGER_set(X509_get_serialNumber(x), serial) ||
        !X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S) ||
        !X509_gmtime_adj(X509_getm_notAfter(x), (long)DAYS * DAY_S) || !X509_set_pubkey(x, key))
        die("a certificate");
    set_name(X509_get_subject_name(x), cn);
    if (!X509_set_issuer_name(x, issuer ? issuer : X509_get_subject_name(x)))
        die("an issuer");
    return x;
}

/* PEM as a JSON string. */
static void print_pem(BIO *bio)
{
    char *text;
    long len = BIO_get_mem_data(bio, &text);

    putchar('"');
    for (long k = 0; k < len; k++) {
        if (text[k] == '\n')
            fputs("\\n", stdout);
        else
            putchar(text[k]);
    }
    putchar('"');
}

struct authority {
    EVP_PKEY *root_key, *key;
    X509 *root, *issuer;
};

static void make_authority(struct authority *a)
{
    a->root_key = EVP_EC_gen("P-256");
    a->key = EVP_EC_gen("P-256");
    if (!a->root_key || !a->key)
        die("a key");
    a->root = begin(a->root_key, "Load Root", NULL, 1);
    add_extension(a->root, NID_basic_constraints, "critical,CA:TRUE");
    a->issuer = begin(a->key, "Load Intermediate", X509_get_subject_name(a->root), 2);
    add_extension(a->issuer, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(a->issuer, NID_key_usage, "critical,keyCertSign");
    if (!X509_sign(a->root, a->root_key, EVP_sha256()) ||
        !X509_sign(a->issuer, a->root_key, EVP_sha256()))
        die("a signature");
}

static void print_line(const struct authority *a, long k, long apps)
{
    char name[64], san[80];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *cert = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());

    snprintf(name, sizeof name, "www.d%ld.load.test", k);
    snprintf(san, sizeof san, "DNS:%s", name);
    if (!key || !cert || !secret)
        die("memory");
    X509 *x = begin(key, name, X509_get_subject_name(a->issuer), k + 3);
    add_extension(x, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(x, NID_key_usage, "critical,digitalSignature");
    add_extension(x, NID_ext_key_usage, "serverAuth");
    add_extension(x, NID_subject_alt_name, san);
    if (!X509_sign(x, a->key, EVP_sha256()) || !PEM_write_bio_X509(cert, x) ||
        !PEM_write_bio_X509(cert, a->issuer) ||
        !PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL))
        die("writing");
    printf("{\"app\":\"load-%ld\",\"name\":\"%s\",\"letsencrypt_enabled\":false,\"tlscert\":",
           k % apps, name);
    print_pem(cert);
    fputs(",\"tlskey\":", stdout);
    print_pem(secret);
    fputs("}\n", stdout);
    X509_free(x);
    EVP_PKEY_free(key);
    BIO_free(cert);
    BIO_free(secret);
}

int main(int argc, char **argv)
{
    struct authority a;
    long n = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
    long apps = argc == 3 ? strtol(argv[2], NULL, 10) : 0;

    if (n < 1 || apps < 1)
        die("usage: leafs N APPS");
    make_authority(&a);
    for (long k = 0; k < n; k++)
        print_line(&a, k, apps);
    X509_free(a.root);
    X509_free(a.issuer);
    EVP_PKEY_free(a.root_key);
    EVP_PKEY_free(a.key);
    return fflush(stdout) == 0 ? 0 : 1;
}
