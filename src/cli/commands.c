/* commands.c - the table of flags and the table of commands. */
#include "cli_internal.h"

const struct cli_flag_row cli_flags[FLAG__COUNT] = {
    [FLAG_APP] = {"app", 'a', "NAME", "POSTERN_APP", "The app to work on, by name or id."},
    [FLAG_JSON] = {"json", 0, NULL, NULL, "Print the server's answer as JSON."},
    [FLAG_REGION] = {"region", 0, "NAME", NULL, "Accepted for compatibility; a server has one."},
    [FLAG_URL] = {"url", 0, "URL", "POSTERN_URL",
                  "The server: https://..., http:// on a loopback address, or unix:/path."},
    [FLAG_HELP] = {"help", 'h', NULL, NULL, "Explain the command."},
    [FLAG_API_TOKEN] = {"api-token", 0, "TOKEN", NULL,
                        "The API token; without it, it is read from standard input."},
    [FLAG_FORCE] = {"force", 'f', NULL, NULL, "Do not ask for a confirmation."},
    [FLAG_ROLE] = {"role", 0, "ROLE", NULL, "operator, tenant (without this) or reader."},
    [FLAG_USER] = {"user", 0, "NAME", NULL, "Work on this account's tokens (operators only)."},
    [FLAG_READ_ONLY] = {"read-only", 0, NULL, NULL, "The token may only read."},
    [FLAG_WAIT] = {"wait", 'w', NULL, NULL, "Wait until a certificate of its own is served."},
    [FLAG_TIMEOUT] = {"timeout", 0, "SECONDS", NULL, "Longest time to wait; 600 at first."},
    [FLAG_NO_LETSENCRYPT] = {"no-letsencrypt", 0, NULL, NULL,
                             "Do not get a certificate for it: no CA is ever asked."},
    [FLAG_CANONICAL] = {"canonical", 0, NULL, NULL,
                        "Send visitors of the app's other domains to this one."},
    [FLAG_LIMIT] = {"limit", 'n', "NUMBER", NULL,
                    "How many to show; 50 at first, 10 with --follow."},
    [FLAG_ENABLE] = {"enable", 'e', NULL, NULL, "Switch it on; so does no flag."},
    [FLAG_DISABLE] = {"disable", 'd', NULL, NULL, "Switch it off."},
    [FLAG_EVENTS] = {"events", 0, "KINDS", NULL,
                     "Only these kinds, separated by commas: domain.added, domain.*"},
    [FLAG_LETSENCRYPT] = {"letsencrypt", 0, NULL, NULL, "Get a certificate for it again."},
    [FLAG_CERT] = {"cert", 0, "FILE", NULL, "The certificate, with its intermediates."},
    [FLAG_KEY] = {"key", 0, "FILE", NULL, "Its private key."},
    [FLAG_PASSPHRASE] = {"passphrase", 0, "TEXT", NULL,
                         "What opens an encrypted key; better set POSTERN_PASSPHRASE, which other "
                         "users do not see."},
    [FLAG_DOMAIN] = {"domain", 0, "NAME", NULL, "The name that the certificate must cover."},
    [FLAG_ROOTS] = {"roots", 0, "FILE", NULL, "Public roots in PEM; at first those of the system."},
    [FLAG_AT] = {"at", 0, "TIME", NULL, "Judge as of this time, as 2027-01-31T12:00:00Z."},
    [FLAG_KEY_TYPE] = {"key-type", 0, "TYPE", NULL,
                       "p256 (at first), p384, rsa2048, rsa3072 or rsa4096."},
    [FLAG_COUNTRY] = {"country", 0, "CODE", NULL, "Country in two capital letters, as FR."},
    [FLAG_STATE] = {"state", 0, "NAME", NULL, "State or province."},
    [FLAG_LOCALITY] = {"locality", 0, "NAME", NULL, "City."},
    [FLAG_ORGANIZATION] = {"organization", 0, "NAME", NULL, "Company or association."},
    [FLAG_UNIT] = {"unit", 0, "NAME", NULL, "Part of the organization."},
    [FLAG_COMMON_NAME] = {"common-name", 0, "NAME", NULL, "Common name; at first the domain."},
    [FLAG_EMAIL] = {"email", 0, "ADDRESS", NULL, "Mail address."},
    [FLAG_DRY_RUN] = {"dry-run", 0, NULL, NULL, "Judge all lines and change nothing."},
    [FLAG_RESUME] = {"resume", 0, "ID", NULL, "Go on with an import that was interrupted."},
    [FLAG_OUTPUT] = {"output", 'o', "FILE", NULL,
                     "Write to this file; it appears once it is whole."},
    [FLAG_SKIP_PROOF] = {"skip-proof", 0, NULL, NULL,
                         "Ask for no proof that it is the app's owner's (operators only)."},
    [FLAG_FOLLOW] = {"follow", 0, NULL, NULL, "Go on with what happens, until stopped."},
};

const cli_flag_set cli_common_flags = BIT(APP) | BIT(JSON) | BIT(REGION) | BIT(URL) | BIT(HELP);

const struct cli_command cli_commands[] = {
    {"login", "", 0, 0, BIT(API_TOKEN), false, cli_login, "Log in with an API token.",
     "The token is checked and then kept, readable by you only, for later commands. With "
     "POSTERN_TOKEN in the environment no login is needed."},
    {"logout", "", 0, 0, 0, false, cli_logout, "Forget the stored API token of the server.",
     "The token stays valid at the server."},
    {"self", "", 0, 0, 0, false, cli_self, "Show the account that is logged in.", NULL},
    {"regions", "", 0, 0, 0, false, cli_regions, "List the regions of the platform.", NULL},

    {"apps", "", 0, 0, 0, false, cli_apps, "List your apps.", NULL},
    {"create", "NAME", 1, 1, 0, false, cli_create, "Make an app.",
     "The name has 3 to 48 lower-case letters, digits and single hyphens."},
    {"apps-info", "", 0, 0, 0, true, cli_apps_info, "Show an app and its settings.", NULL},
    {"force-https", "", 0, 0, BIT(ENABLE) | BIT(DISABLE), true, cli_force_https,
     "Send visitors of an app from HTTP to HTTPS, or stop that.",
     "It acts on each name only once a certificate for it is served."},
    {"destroy", "[NAME]", 0, 1, BIT(FORCE), false, cli_destroy,
     "Remove an app with its upstreams and domains.",
     "The name is asked for again, unless --force is given. There is no way back."},

    {"rename", "NEW-NAME", 1, 1, 0, true, cli_rename, "Give an app another name.",
     "Its platform name changes, too; its own domains stay."},
    {"restart", "", 0, 0, 0, true, cli_restart, "Note that an app was to be restarted.",
     "Apps run elsewhere: there is nothing to restart here, and no change needs it."},
    {"sticky-session", "", 0, 0, BIT(ENABLE) | BIT(DISABLE), true, cli_sticky_session,
     "Switch sticky sessions of an app on or off.", NULL},
    {"router-logs", "", 0, 0, BIT(ENABLE) | BIT(DISABLE), true, cli_router_logs,
     "Switch the log lines of an app's requests on or off; without a flag, off.", NULL},

    {"env", "", 0, 0, 0, true, cli_env, "List the variables of an app.", NULL},
    {"env-get", "NAME", 1, 1, 0, true, cli_env_get, "Print the value of a variable.",
     "A value that is $OTHER is printed as what that variable holds."},
    {"env-set", "NAME=VALUE...", 1, 64, 0, true, cli_env_set, "Set variables of an app.",
     "Those for the DNS-01 challenge are DNS_PROVIDER and the credentials of that provider."},
    {"env-unset", "NAME...", 1, 64, 0, true, cli_env_unset, "Remove variables of an app.", NULL},

    {"dns-providers", "", 0, 0, 0, false, cli_dns_providers,
     "List the DNS providers that can be named in DNS_PROVIDER, and their variables.",
     "For wildcards: with these variables set on the app (env-set), its records for the DNS-01 "
     "challenge are made and taken away for you."},

    {"upstreams", "", 0, 0, 0, true, cli_upstreams,
     "List the addresses that an app's requests are passed on to.", NULL},
    {"upstreams-set", "ADDRESS...", 0, 64, 0, true, cli_upstreams_set,
     "Replace an app's upstreams.",
     "An address is an IP address with a port, such as 192.0.2.1:3000 or [2001:db8::1]:3000, "
     "with =WEIGHT (1 to 100) behind it if it is to get more or less than the others. No address "
     "at all empties the list."},
    {"upstreams-drain", "ADDRESS...", 1, 64, BIT(ENABLE) | BIT(DISABLE), true, cli_upstreams_drain,
     "Give upstreams no new requests, or --disable that again.",
     "Requests and WebSockets under way end undisturbed; new ones go to the app's other upstreams. "
     "While all of them drain, visitors get 503."},

    {"domains", "", 0, 0, 0, true, cli_domains, "List the domains of an app and their state.",
     "A last column, Manual Action, is there when a record is waited for that somebody has to "
     "make by hand."},
    {"domains-add", "NAME", 1, 1,
     BIT(CERT) | BIT(KEY) | BIT(PASSPHRASE) | BIT(NO_LETSENCRYPT) | BIT(CANONICAL) | BIT(WAIT) |
         BIT(TIMEOUT) | BIT(SKIP_PROOF),
     true, cli_domains_add, "Add a domain to an app.",
     "A certificate is got as soon as its DNS records point to the platform. With --cert and --key "
     "your own is served at once, and the other stands by. With --wait, each step is told until "
     "it is served; what only a person can mend ends the wait with status 1. "
     "A name that another account holds or gave up lately is refused with the DNS record that "
     "proves it yours; make it and add the name again."},
    {"domains-ssl", "NAME [disable]", 1, 2,
     BIT(CERT) | BIT(KEY) | BIT(PASSPHRASE) | BIT(LETSENCRYPT) | BIT(NO_LETSENCRYPT), true,
     cli_domains_ssl, "Serve a certificate of your own for a domain, or no longer.",
     "Without flags the files domain.crt and domain.key are taken. Any form is read: PEM in any "
     "order, DER, PKCS#7, PKCS#12. With \"disable\" it is taken away, and the certificate that "
     "stands by is served at once. --letsencrypt and --no-letsencrypt switch that one on and off. "
     "After \"postern csr\" only the certificate is needed."},
    {"csr", "NAME", 1, 1,
     BIT(KEY_TYPE) | BIT(COUNTRY) | BIT(STATE) | BIT(LOCALITY) | BIT(ORGANIZATION) | BIT(UNIT) |
         BIT(COMMON_NAME) | BIT(EMAIL),
     true, cli_csr, "Make a key and a certificate request for a domain.",
     "The request is printed: hand it to the authority of your choice, then upload what it gives "
     "with domains-ssl --cert. The key never leaves the server."},
    {"csrs", "NAME", 1, 1, 0, true, cli_csrs, "List the certificate requests of a domain.", NULL},
    {"csr-remove", "NAME ID", 2, 2, 0, true, cli_csr_remove,
     "Forget a certificate request and its key.", NULL},
    {"domains-remove", "NAME", 1, 1, 0, true, cli_domains_remove, "Remove a domain from an app.",
     NULL},
    {"domains-explain", "NAME", 1, 1, 0, true, cli_domains_explain,
     "Tell why a domain is in its state, and what to do.",
     "Shows the reason, the DNS record to make or change, what was seen, when the next try is, "
     "the attempts so far, and which certificate the edges serve and why."},
    {"domains-proof", "NAME", 1, 1, 0, true, cli_domains_proof,
     "Show the DNS record that proves that a name is yours.",
     "It is needed only for a name that another account holds or gave up lately, or that shares a "
     "wildcard with one. Status 0: the name can be added, 1: the record is needed and not there. "
     "Nothing is changed."},
    {"domains-retry", "NAME", 1, 1, 0, true, cli_domains_retry,
     "Try at once again to get a domain's certificate.",
     "Once in 12 minutes for a name: more could use up what the CA allows. A wildcard that waits "
     "for a record or a provider's variables is looked at as often as you ask, for the CA hears "
     "nothing of that."},
    {"set-canonical-domain", "NAME", 1, 1, 0, true, cli_set_canonical,
     "Send visitors of the app's other domains to this one.", NULL},
    {"unset-canonical-domain", "", 0, 0, 0, true, cli_unset_canonical,
     "Have no canonical domain any more.", NULL},

    {"domains-import", "FILE", 1, 1, BIT(DRY_RUN) | BIT(RESUME), false, cli_domains_import,
     "Add many domains from a file with one JSON object a line.",
     "FILE may be - for standard input. A line is "
     "{\"app\":\"my-app\",\"name\":\"www.example.com\"} "
     "and may have letsencrypt_enabled, canonical, tlscert and tlskey, and for operators "
     "skip_proof "
     "(see domains-add); with --app the lines need not name the app. What is there already with "
     "the same settings stays as it is, so a file can "
     "be run again. A server that does not answer is waited for, at most 5 minutes. Status 0: all "
     "lines are there, 1: some were refused, 130: interrupted; --resume goes on."},
    {"domains-export", "", 0, 0, BIT(OUTPUT), false, cli_domains_export,
     "Print all domains, one JSON object a line, as domains-import takes them.",
     "With --app those of one app. Certificates and keys are not part of it."},
    {"imports", "", 0, 0, 0, false, cli_imports, "List your imports and how far they are.", NULL},
    {"imports-refused", "ID", 1, 1, 0, false, cli_imports_refused,
     "Print the lines that an import refused and why, one JSON object a line.", NULL},
    {"imports-cancel", "ID", 1, 1, 0, false, cli_imports_cancel, "Bring an import to its end.",
     "What it has added stays."},

    {"tokens", "", 0, 0, BIT(USER), false, cli_tokens, "List your API tokens.", NULL},
    {"tokens-create", "NAME", 1, 1, BIT(READ_ONLY) | BIT(USER), false, cli_tokens_create,
     "Make an API token; it is shown once.",
     "With --app it may only be used for that app, which suits a deployment."},
    {"tokens-renew", "ID", 1, 1, 0, false, cli_tokens_renew, "Give an API token another secret.",
     "Sessions of the old one end at once."},
    {"tokens-revoke", "ID", 1, 1, BIT(USER), false, cli_tokens_revoke,
     "Revoke an API token and its sessions.", NULL},
    {"users", "", 0, 0, 0, false, cli_users, "List the accounts (operators only).", NULL},
    {"users-add", "NAME MAIL", 2, 2, BIT(ROLE), false, cli_users_add,
     "Make an account (operators only).", "Its first API token is printed, only now."},
    {"users-remove", "NAME", 1, 1, 0, false, cli_users_remove,
     "Remove an account that has no apps (operators only).", "Its API tokens are void at once."},
    {"ledger", "", 0, 0, 0, false, cli_ledger,
     "Show what is left of the CA's limits (operators only).",
     "By account, registered domain and name, those that were used most first."},
    {"cas", "[ID]", 0, 1, 0, false, cli_cas,
     "List the CAs, or show all that is known of one (operators only).",
     "Whether it answers, its terms and profiles, the account there and what is left of its "
     "limits."},

    {"bundles", "", 0, 0, 0, false, cli_bundles,
     "List the certificates that are kept for domains added later.",
     "They come from /v2/certificates/new. A domain that is added without a certificate gets the "
     "one that covers its name: one with the very name before a wildcard, then the one that ends "
     "last."},
    {"bundles-remove", "ID", 1, 1, 0, false, cli_bundles_remove,
     "Keep a certificate no longer for domains added later.",
     "Domains that have it keep it; domains-ssl takes it away from one."},

    {"certs-check", "[FILE...]", 0, 8,
     BIT(CERT) | BIT(KEY) | BIT(PASSPHRASE) | BIT(DOMAIN) | BIT(ROOTS) | BIT(AT), false,
     cli_certs_check, "Judge a certificate as an upload would be; no server is needed.",
     "Prints all that is wrong or worth knowing, and what to do about it. Status 0: acceptable, "
     "1: refused, 2: wrong usage or a file that cannot be read."},
    {"certs-show", "FILE...", 1, 8, BIT(PASSPHRASE), false, cli_certs_show,
     "Show what stands in files with certificates and keys.", NULL},
    {"certs-convert", "FILE...", 1, 8, BIT(PASSPHRASE), false, cli_certs_convert,
     "Print certificates and keys of any form as PEM.",
     "Keys come out in the clear: send the output to a file that only you can read."},

    {"events", "[DOMAIN]", 0, 1, BIT(LIMIT) | BIT(FOLLOW), false, cli_events,
     "List what happened, newest first.",
     "With --app what happened to the app, or to one of its domains; without it, for operators, on "
     "the whole platform. With --follow the oldest comes first, and then what happens from now "
     "on."},
    {"platform", "", 0, 0, 0, false, cli_platform,
     "Show the certificates of the platform names (operators only).",
     "The edges serve the first that is valid: the operator's files, the one that the ACME CA "
     "issued (platform.acme), the local CA's."},
    {"edges", "", 0, 0, 0, false, cli_edges, "List the edges (operators only).", NULL},
    {"edges-remove", "ID", 1, 1, 0, false, cli_edges_remove, "Remove an edge (operators only).",
     "Its token is void at once; it goes on serving what it has."},
    {"edges-enrol-token", "", 0, 0, 0, false, cli_edges_enrol_token,
     "Make a one-time token with which an edge joins (operators only).",
     "It is valid for one hour and is shown once."},

    {"webhooks", "", 0, 0, 0, false, cli_webhooks, "List your webhooks and how they fare.", NULL},
    {"webhooks-add", "URL", 1, 1, BIT(EVENTS), false, cli_webhooks_add,
     "Have events sent to a URL.",
     "With --app those of one app, else those of all your apps (for operators: all there are). "
     "Prints the id and, only now, the secret with which deliveries are signed."},
    {"webhooks-remove", "ID", 1, 1, 0, false, cli_webhooks_remove, "Remove a webhook.", NULL},
    {"webhooks-ping", "ID", 1, 1, 0, false, cli_webhooks_ping, "Send a test event to a webhook.",
     "One that failed is tried again at once."},

    {"version", "", 0, 0, 0, false, cli_version, "Show the version of this program.", NULL},
    {"help", "[COMMAND]", 0, 1, 0, false, cli_help, "Explain the program or a command.", NULL},
    {"completion", "SHELL", 1, 1, 0, false, cli_completion,
     "Print the completion script for bash, zsh or fish.",
     "For bash: postern completion bash > ~/.local/share/bash-completion/completions/postern"},
    {"mdoc", "", 0, 0, 0, false, cli_mdoc, "Print the source of the manual page postern(1).", NULL},
};
const size_t cli_commands_n = PST_ARRAY_N(cli_commands);

const struct cli_command *cli_command_find(const char *name)
{
    for (size_t i = 0; i < cli_commands_n; i++)
        if (pst_streq(cli_commands[i].name, name))
            return &cli_commands[i];
    return NULL;
}
