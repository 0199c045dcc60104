/*
 * provider_fuzz.c - what DNS providers answer.  The first byte chooses provider and action; then
 * come answers, each a status, a length and a body, for as many requests as there are.  No network:
 * the functions of http/ that dns/ calls are defined here.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <postern/base.h>
#include <postern/dns.h>
#include <postern/http.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A key made for tests. */
static const char google_key[] =
    "eyJ0eXBlIjogInNlcnZpY2VfYWNjb3VudCIsICJwcm9qZWN0X2lkIjogInAxIiwgImNsaWVudF9lbWFpbCI6ICJhQH"
    "AxLmV4YW1wbGUiLCAicHJpdmF0ZV9rZXkiOiAiLS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tXG5NSUlFdmdJQkFE"
    "QU5CZ2txaGtpRzl3MEJBUUVGQUFTQ0JLZ3dnZ1NrQWdFQUFvSUJBUUNVM3JqT0pGY2xxTWhyXG51djIxRFBRYVJROX"
    "oxSUs2ZzZiekl3THVyanZ3NTRmK01MeGpZdzZhaitSM3dWSFhySkU1VlBaTUI5Y05iSGs5XG51STJTcHdFU0N2bnlT"
    "aytocHpDVEhMbHlMaXpVQTFuUUwzV0lLcGlTN1hUV3VXc2ZwdGFWN2N2WUpydnpJa3VoXG5uUWphL1VpNzdkUjFMOF"
    "piM2d4ZXFxNWt3aGtTVU95bVRjRzdXd3kxbW9Ma0ZQSVpvWW9welRxTVFOZlNPM3N4XG5wN2RHa2xHd2NXcVVwTmdL"
    "STdaay91UUtlYWtUbXlMMkN1VzhweFVac3FyYzgrWERaUzZJQlhod1FSb1BuUDYzXG5zOE1YdTdybnljR2QydkdSaG"
    "NFVXpJOERrUDZ0TDJ2bFhMbnlsYXd2NVlhVFpGNlFONlpwSFJTdTRVY0dLclhCXG5NNC94Z2VUVEFnTUJBQUVDZ2dF"
    "QVNXbjRXdmhDM2JoNWRkOFdCSFhwM3hhVmd6cVdhV0pKTDNmaGwxRG5FR3N0XG5mbVlNVVRybFZjV0dGcVNJTnNMTU"
    "x5aTkrVXFZZSs4MWJ3R1hGMjR5TWZLbHhoMXRYYnUwVWFnRnI5QWpuVDQxXG55VnZPS3lOT2NJNlhZdGkzZ2psbGN6"
    "UjhwUkNjK1U2OVcycTBsa0gzMzIxdXE0ZXUyMWtLWXBqclBaY1doQmdSXG5Tay82ZXdVMlhxVTQvMW8xZVVxaHJ6ZD"
    "BYSjM0VjlMK3JYeGl2TGtnYk44OWpBRFdMT1MvV2tVRFRvM2c2QW5aXG5IQzZOanFFTkNWRldWNnBaTWtsRlF0Q2Mx"
    "MS9US294UGRIRlBkeVZYUW8wK1ZPQU1LOXY0ZG4zRkUwd0krNkhEXG4wWWN0Z244SzhoRGN6Ulc0V2I1bzA2SEFUOU"
    "5FWDlFNGJxWnNHWmxMK1FLQmdRRFJPRGFKZ3JCTURrYWpPcUpYXG5PV2V4TkVTWVhWVENnVEQ4cHBCLzhnZE9RNlE4"
    "QW9oVWw0QzJCVGZ4bGg4allaQmFFN29qdkV5VkRneUhNKzdhXG42NEhSOFY0SXkvTDFPRWlSY2xISkx6cThWRXFoWU"
    "tXOEU5VTAySGZIVE9kbk9tOXA1V3c2UjI5MExqRHlSVVFsXG55bE93a2ZPUmltSmgvQW9NMFhnVkREU1puUUtCZ1FD"
    "MktCVWJPUEpaQkJJRFdYdXhHUzFwWW5SdUtFZ2dROXVTXG44N2diUWRtM00yeVU0SDZ6ZzhsUVJnUFk3YTI4clJIVl"
    "Q5bW92MmQwSnpJRkE0TVhSamwzaVFIUlh5WTV1OThuXG41b20vbXhQSXJLSkwxKzBzdHhlZko4WTBjL2RwMzR3bk05"
    "cWMwZytiejVVa1MxRlVLUWcxMjZRUkozNUFZbUVLXG5SV3hiMmw0bEx3S0JnUUNyeVI4bWkzTWNEOEM2TitPaUFOVi"
    "tMNjkrOTJzb0JaSG1jUkZHck1DSTU0dExacnp2XG4wREh6d3BjcnV4cTRIMXk2U1daVi96OVdSK0hMaGIzQ2JRcjhD"
    "ZFl2SE43UnNEUU5rTE5Nb0lYMnFyTllqQldwXG5OeE9odjNlaDRpaENuejFwMHVHcGZJd3I5ZDFrbjdFVDRtd1RGOV"
    "BKRmJvd1FCVTBieTNOQW1lU0ZRS0JnUUNIXG5XK216UFBINTYraG16TXY1b2pmNG84elpQdDI1L0RMaVZIRnU3OVFW"
    "S3dWNDdBbTY1Q2RvbTE2b2lKWWVLbzJoXG44YUJRb1VzREtVMG1KS0g1WFptK2xmVGYzTkRPL2lpcHdjcUNzMzVVRk"
    "5UVmZ6TWprenJlYmZQL2JsMWdNMW8yXG5sM1hRS3RpbWMrN2o5WVFPQWgrenhlOTVQOXUxaEdXUCtGNjVNdC9heVFL"
    "QmdCUCtHd1cxSC9mM1czUThQbzZpXG5lTTljNHRkZUl4cC9zTnRGN3VlNFZOZVlXNGJkUC9YUW9QeTdHYkNrZFdFaT"
    "dyVmp4ZkVnMzVvM05tWHJlQWkzXG55bjRFTkNrWHdKdnBaOGxFdXlScUZpK0I2eXBtQkg3RWk3YjV2YXJwOWNCcWVV"
    "VksrQkRBV3lWb0srK0NkTGJUXG5HaFozYytSaE9rZVE0a0VwdmFiZVcvR1Fcbi0tLS0tRU5EIFBSSVZBVEUgS0VZLS"
    "0tLS1cbiJ9";

static const struct {
    const char *name;
    const char *value;
} variables[] = {
    {"DNS_AZURE_CLIENT_ID", "c"},
    {"DNS_AZURE_CLIENT_SECRET", "secret-1"},
    {"DNS_AZURE_SUBSCRIPTION_ID", "s"},
    {"DNS_AZURE_TENANT_ID", "t"},
    {"DNS_AZURE_RESOURCE_GROUP", "r"},
    {"DNS_CLOUDFLARE_API_TOKEN", "secret-1"},
    {"DNS_DNSIMPLE_OAUTH_TOKEN", "secret-1"},
    {"DNS_GANDI_API_KEY", "secret-1"},
    {"DNS_GANDIV5_API_KEY", "secret-1"},
    {"DNS_GCLOUD_JSON_KEYS", google_key},
    {"DNS_GODADDY_API_KEY", "secret-1"},
    {"DNS_GODADDY_API_SECRET", "secret-1"},
    {"DNS_OVH_ENDPOINT", "ovh-eu"},
    {"DNS_OVH_APPLICATION_KEY", "secret-1"},
    {"DNS_OVH_APPLICATION_SECRET", "secret-1"},
    {"DNS_OVH_CONSUMER_KEY", "secret-1"},
    {"DNS_AWS_ACCESS_KEY_ID", "secret-1"},
    {"DNS_AWS_SECRET_ACCESS_KEY", "secret-1"},
    {"DNS_ACMEDNS_API_BASE", "https://acme-dns.example"},
    {"DNS_ACMEDNS_USERNAME", "secret-1"},
    {"DNS_ACMEDNS_PASSWORD", "secret-1"},
    {"DNS_ACMEDNS_SUBDOMAIN", "s"},
};

static const char *const names[] = {"azure", "cloudflare", "dnsimple", "gandiv5", "godaddy",
                                    "ovh",   "route53",    "acme-dns", "gcloud"};

/* ---- http/ ---- */

struct pst_http_response {
    int status;
    char *body;
    size_t len;
};

static const uint8_t *input;
static size_t left;

int pst_http_do(struct pst_http *h, const struct pst_http_request *req,
                struct pst_http_response **ret, struct pst_err *err)
{
    static const int statuses[] = {200, 201, 204, 400, 401, 403, 404, 409, 412, 422, 429, 503};
    struct pst_http_response *r;

    if (left < 3)
        return pst_fail(err, PST_ENET, "the end");
    size_t len = (size_t)(input[1] << 8 | input[2]);
    int status = statuses[input[0] % PST_ARRAY_N(statuses)];
    input += 3;
    left -= 3;
    len = len < left ? len : left;
    r = pst_zalloc(1, sizeof *r);
    pst_require(r && (r->body = pst_strndup((const char *)input, len)));
    r->status = status;
    r->len = strlen(r->body);
    input += len;
    left -= len;
    *ret = r;
    return PST_OK;
}

void pst_http_response_free(struct pst_http_response *r)
{
    if (r)
        pst_free(r->body);
    pst_free(r);
}

int pst_http_status(const struct pst_http_response *r)
{
    return r->status;
}

const char *pst_http_body(const struct pst_http_response *r, size_t *ret_len)
{
    *ret_len = r->len;
    return r->body;
}

const char *pst_http_header(const struct pst_http_response *r, const char *name, size_t i)
{
    return i == 0 && r->status == 429 ? "5" : NULL;
}

int64_t pst_http_retry_after(const struct pst_http_response *r, int64_t now, int64_t default_s)
{
    return r->status == 429 ? 5 : default_s;
}

/* ---- the provider ---- */

static const char *get(void *arg, const char *name)
{
    for (size_t i = 0; i < PST_ARRAY_N(variables); i++) {
        if (pst_streq(variables[i].name, name))
            return variables[i].value;
    }
    return NULL;
}

static void no_pause(void *arg, uint32_t ms)
{
}

static int act(struct pst_dns_provider *p, unsigned action, struct pst_err *err)
{
    struct pst_dns_record r = {.fqdn = "_acme-challenge.a.example.com", .value = "value"};
    struct pst_dns_change change = {"Z1 2"};

    switch (action) {
    case 0:
        return pst_dns_check(p, &r, err);
    case 1:
        return pst_dns_txt_add(p, &r, &change, err);
    case 2:
        return pst_dns_txt_remove(p, &r, &change, err);
    default:
        return pst_dns_confirm(p, &change, err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pst_dns_env env = {.pause = no_pause};
    struct pst_dns_settings s = {.get = get};
    struct pst_dns_provider *p = NULL;
    struct pst_err err = {0};

    if (size == 0)
        return 0;
    pst_log_set_fd(-1);
    s.provider = names[data[0] / 4 % PST_ARRAY_N(names)];
    pst_require(pst_dns_provider_new(&p, &env, &s, NULL, &err) == PST_OK);
    input = data + 1;
    left = size - 1;
    int rc = act(p, data[0] % 4, &err);
    pst_require(rc == PST_OK || rc == PST_DONE || rc == PST_NOTYET || (rc < 0 && err.text[0]));
    pst_require(rc >= 0 || !strstr(err.text, "secret-1"));
    pst_dns_provider_free(p);
    return 0;
}
