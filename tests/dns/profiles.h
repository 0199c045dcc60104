/* profiles.h - for provider_test.c: each provider's variables, and in what the providers differ. */
#ifndef PST_TEST_PROFILES_H
#define PST_TEST_PROFILES_H

#include <stdbool.h>
#include <stdint.h>

enum { VARS = 6 };

struct variable {
    const char *name;
    const char *value;
    bool secret;
    bool needed;
};

/* What differs. */
static const struct profile {
    const char *name;
    struct variable vars[VARS];
    int64_t wait_s;       /* that the throttled answer tells; 0: none */
    int64_t ttl_s;        /* of the neighbours, which they must keep */
    bool tokens;          /* they may end, or a clock may change */
    bool sub_zones;       /* longest match among zones */
    bool lists_zones;     /* so that two may have one name */
    bool private_zones;   /* are seen and left alone */
    bool slots;           /* acme-dns: nothing but updates */
    bool race_at_write;   /* survives a neighbour in the last moment before the write */
    bool confirms;        /* a change may be pending */
    const char *token_at; /* the path of the token endpoint */
} profiles[] = {
    {.name = "cloudflare",
     .vars = {{"DNS_CLOUDFLARE_API_TOKEN", "cf-token-secret", true, false}},
     .wait_s = 7,
     .sub_zones = true,
     .lists_zones = true,
     .race_at_write = true},
    {.name = "dnsimple",
     .vars = {{"DNS_DNSIMPLE_OAUTH_TOKEN", "ds-token-secret", true, true}},
     .wait_s = 7,
     .sub_zones = true,
     .race_at_write = true},
    {.name = "gandiv5", .vars = {{"DNS_GANDIV5_API_KEY", "gandi-key-secret", true, true}}},
    {.name = "gandi", .vars = {{"DNS_GANDI_API_KEY", "gandi-pat-secret", true, true}}},
    {.name = "godaddy",
     .vars = {{"DNS_GODADDY_API_KEY", "gd-key-secret", true, true},
              {"DNS_GODADDY_API_SECRET", "gd-secret", true, true}},
     .wait_s = 7},
    {.name = "ovh",
     .vars = {{"DNS_OVH_ENDPOINT", "ovh-eu", false, true},
              {"DNS_OVH_APPLICATION_KEY", "ovh-ak-secret", true, true},
              {"DNS_OVH_APPLICATION_SECRET", "ovh-as-secret", true, true},
              {"DNS_OVH_CONSUMER_KEY", "ovh-ck-secret", true, true}},
     .wait_s = 7,
     .tokens = true,
     .sub_zones = true,
     .race_at_write = true},
    {.name = "azure",
     .vars = {{"DNS_AZURE_CLIENT_ID", "c1", false, true},
              {"DNS_AZURE_CLIENT_SECRET", "az~se.c+re/t=", true, true},
              {"DNS_AZURE_SUBSCRIPTION_ID", "s1", false, true},
              {"DNS_AZURE_TENANT_ID", "t1", false, true},
              {"DNS_AZURE_RESOURCE_GROUP", "rg 1", false, true}},
     .wait_s = 7,
     .tokens = true,
     .sub_zones = true,
     .private_zones = true,
     .race_at_write = true,
     .token_at = "/login/t1/oauth2/v2.0/token"},
    {.name = "gcloud",
     .vars = {{"DNS_GCLOUD_JSON_KEYS", NULL, true, true}},
     .tokens = true,
     .sub_zones = true,
     .lists_zones = true,
     .private_zones = true,
     .race_at_write = true,
     .confirms = true,
     .token_at = "/token"},
    {.name = "route53",
     .vars = {{"DNS_AWS_ACCESS_KEY_ID", "AKIAEXAMPLE", true, true},
              {"DNS_AWS_SECRET_ACCESS_KEY", "aws+secret/key", true, true}},
     .sub_zones = true,
     .lists_zones = true,
     .private_zones = true,
     .race_at_write = true,
     .confirms = true},
    {.name = "acme-dns",
     .vars = {{"DNS_ACMEDNS_USERNAME", "ad-user", true, true},
              {"DNS_ACMEDNS_PASSWORD", "ad-password-secret", true, true},
              {"DNS_ACMEDNS_SUBDOMAIN", "ad-sub", false, true}},
     .wait_s = 7,
     .slots = true},
};

#endif
