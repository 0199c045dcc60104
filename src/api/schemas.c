/*
 * schemas.c - the objects in answers, as a table of their members.
 *
 * A member is "name:type": s text, t time (RFC 3339), i whole number, b true or false, o any
 * object, x anything, or the name of another object; [..] a list of it, ? behind it: may be null,
 * ~ before the name: may be missing.
 */
#include "schemas.h"

#include <ctype.h>
#include <string.h>

#include <postern/base.h>

static const struct {
    const char *name, *members;
} objects[] = {
    {"Owner", "id:s username:s email:s"},
    {"App",
     "id:s name:s region:s owner:Owner url:s? base_url:s? status:s created_at:t updated_at:t "
     "force_https:b sticky_session:b router_logs:b git_url:s project:o? last_deployed_at:t? "
     "last_deployed_by:s? last_deployment_id:s? links:o stack_id:s hds_resource:b flags:o "
     "limits:o"},
    {"Domain",
     "id:s app_id:s name:s ascii:s created_at:t tlscert:s? tlskey:s? validity:t? ssl:b "
     "ssl_status:s? canonical:b letsencrypt_enabled:b letsencrypt:b letsencrypt_status:s? "
     "acme_dns_fqdn:s? acme_dns_value:s? acme_dns_until:t? acme_dns_error:o acme_method:s? "
     "acme_challenge_error:s? word:s reason:s? record:s? next_try_at:t? ~acme_options:[Way]"},
    {"Way", "kind:s forever:b in_use:b seen:b record:Record? text:s ~provider:s? ~variables:[s] "
            "~providers:[s]"},
    {"Record", "name:s type:s value:s?"},
    {"DnsProvider", "name:s variables:[s]"},
    {"Variable", "id:s name:s value:s"},
    {"Upstream", "id:s address:s weight:i drain:b"},
    {"Operation", "id:s created_at:t finished_at:t? status:s type:s error:s"},
    {"User", "id:s username:s fullname:s email:s role:s created_at:t flags:o"},
    {"Token",
     "id:s name:s created_at:t last_used_at:t? issued_at:t read_only:b app_id:s? ~token:s"},
    {"Region", "name:s display_name:s ssh:s api:s dashboard:s database_api:s default:b"},
    {"Stack", "id:s name:s description:s base_image:s created_at:t default:b deprecated_at:s?"},
    {"Event",
     "id:s at:t kind:s actor:s request_id:s? app_id:s? domain_id:s? text:s position:i? hash:s?"},
    {"Request", "id:s key_type:s key_bits:i subject:s names:[s] created_at:t used_at:t? ~csr:s"},
    {"Limit", "limit:s text:s ~key:s of:i period_s:i left:i? next_at:t?"},
    {"Profile", "name:s text:s?"},
    {"Ca",
     "id:s directory:s account_url:s? status:s reason:s? contact:s? thumbprint:s? "
     "terms_agreed_at:t? created_at:t in_use:b reachable:b? answered_at:t? failed_at:t? failure:s? "
     "terms_of_service:s? website:s? external_account_required:b? renewal_info:b? issuers:[s]? "
     "profiles:[Profile]? limits:[Limit]"},
    {"Edge", "id:s name:s region:s live:b caught_up:b acked_revision:i behind:i probe_address:s? "
             "polled_at:t? created_at:t"},
    {"EnrolToken", "token:s region:s expires_at:t"},
    {"Webhook",
     "id:s user_id:s app_id:s? url:s events:[s] active:b failures:i last_status:i last_error:s? "
     "tried_at:t? delivered_at:t? next_try_at:t? created_at:t ~secret:s"},
    {"Bundle", "id:s names:[s] subject:s issuer:s serial:s sha256:s key_type:s key_bits:i "
               "not_before:t not_after:t domains:i created_at:t"},
    {"Finding", "code:s severity:s field:s sentence:s fix:s"},
    {"Report", "accepted:b certificate:o? chain:[x] findings:[Finding]"},
    {"Error", "error:s"},
    {"Absent", "resource:s error:s"},
    {"Invalid", "errors:o ~findings:[Finding]"},
    {"Message", "id:i message:s type:s"},
};

/* What an answer's member holds. */
static const struct {
    const char *root, *type;
} roots[] = {
    {"app", "App"},
    {"apps", "[App]"},
    {"domain", "Domain"},
    {"domains", "[Domain]"},
    {"dns_providers", "[DnsProvider]"},
    {"variable", "Variable"},
    {"variables", "[Variable]"},
    {"upstream", "Upstream"},
    {"upstreams", "[Upstream]"},
    {"operation", "Operation"},
    {"user", "User"},
    {"users", "[User]"},
    {"tokens", "[Token]"},
    {"regions", "[Region]"},
    {"stacks", "[Stack]"},
    {"events", "[Event]"},
    {"csr", "Request"},
    {"csrs", "[Request]"},
    {"ledger", "[Limit]"},
    {"ca", "Ca"},
    {"cas", "[Ca]"},
    {"edges", "[Edge]"},
    {"enrol_token", "EnrolToken"},
    {"webhook", "Webhook"},
    {"webhooks", "[Webhook]"},
    {"bundles", "[Bundle]"},
    {"report", "Report"},
};

static const struct {
    char letter;
    const char *name, *format;
} scalars[] = {
    {'s', "string", NULL},  {'t', "string", "date-time"}, {'i', "integer", NULL},
    {'b', "boolean", NULL}, {'o', "object", NULL},
};

/* "s" of `len` bytes, with null allowed. */
static void add_scalar(char letter, bool nullable, struct pst_buf *to)
{
    for (size_t i = 0; i < PST_ARRAY_N(scalars); i++) {
        if (scalars[i].letter != letter)
            continue;
        pst_buf_printf(to, nullable ? "{\"type\":[\"%s\",\"null\"]" : "{\"type\":\"%s\"",
                       scalars[i].name);
        if (scalars[i].format)
            pst_buf_printf(to, ",\"format\":\"%s\"", scalars[i].format);
        pst_buf_char(to, '}');
        return;
    }
    pst_buf_str(to, "{}");
}

static void add_one(const char *type, size_t len, bool nullable, struct pst_buf *to)
{
    if (!isupper((unsigned char)*type))
        add_scalar(*type, nullable, to);
    else if (nullable)
        pst_buf_printf(to,
                       "{\"anyOf\":[{\"$ref\":\"#/components/schemas/%.*s\"},{\"type\":\"null\"}]}",
                       (int)len, type);
    else
        pst_buf_printf(to, "{\"$ref\":\"#/components/schemas/%.*s\"}", (int)len, type);
}

static void add_type(const char *type, size_t len, struct pst_buf *to)
{
    bool nullable = len && type[len - 1] == '?';

    len -= nullable;
    if (*type != '[') {
        add_one(type, len, nullable, to);
        return;
    }
    pst_buf_printf(to, "{\"type\":%s,\"items\":", nullable ? "[\"array\",\"null\"]" : "\"array\"");
    add_one(type + 1, len - 2, false, to);
    pst_buf_char(to, '}');
}

/* Runs over "name:type" words: their names where `types` is false, else each with its schema. */
static void add_members(const char *members, bool types, struct pst_buf *to)
{
    const char *comma = "";

    for (const char *p = members, *next = p; next; p = next) {
        size_t len = strcspn(p, " ");
        bool optional = *p == '~';
        const char *name = p + optional;
        size_t name_len = strcspn(name, ":");
        if (types) {
            pst_buf_printf(to, "%s\"%.*s\":", comma, (int)name_len, name);
            add_type(name + name_len + 1, len - optional - name_len - 1, to);
            comma = ",";
        } else if (!optional) {
            pst_buf_printf(to, "%s\"%.*s\"", comma, (int)name_len, name);
            comma = ",";
        }
        next = p[len] ? p + len + 1 : NULL;
    }
}

void pst_schemas_add(struct pst_buf *to)
{
    for (size_t i = 0; i < PST_ARRAY_N(objects); i++) {
        pst_buf_printf(to, "%s\"%s\":{\"type\":\"object\",\"required\":[", i ? "," : "",
                       objects[i].name);
        add_members(objects[i].members, false, to);
        pst_buf_str(to, "],\"properties\":{");
        add_members(objects[i].members, true, to);
        pst_buf_str(to, "}}");
    }
}

void pst_schema_of_root(const char *root, struct pst_buf *to)
{
    pst_buf_printf(to, "{\"type\":\"object\",\"required\":[\"%s\"]", root);
    for (size_t i = 0; i < PST_ARRAY_N(roots); i++) {
        if (!pst_streq(roots[i].root, root))
            continue;
        pst_buf_printf(to, ",\"properties\":{\"%s\":", root);
        add_type(roots[i].type, strlen(roots[i].type), to);
        pst_buf_char(to, '}');
    }
    pst_buf_char(to, '}');
}
