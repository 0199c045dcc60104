/*
 * conf_keys.h - each setting is described once, here.  The parser, the sample file and the manual
 * page are made from this list; to add a setting, add a row.
 *
 * K(id, key, programs, type, form, default, min, max, reload, text)
 *
 * programs  POSTERND, EDGED or BOTH
 * type      TEXT, INT, BOOL, DURATION (seconds), SIZE (bytes) or LIST
 * form      of a number its unit ("" if none); of a text or of a list's items one of the forms in
 *           conf_forms.c, or "one of a b c"
 * min, max  of the number; bytes of a text (an empty one is always fine if min is 0); items of a
 *           list
 */
#ifndef POSTERN_CONF_KEYS_H
#define POSTERN_CONF_KEYS_H

/* clang-format off */
#define PST_CONF_KEYS(K)                                                                           \
    PST_CONF_KEYS_POSTERND(K)                                                                      \
    PST_CONF_KEYS_ACME(K)                                                                          \
    PST_CONF_KEYS_DNS(K)                                                                           \
    PST_CONF_KEYS_DNSD(K)                                                                          \
    PST_CONF_KEYS_WEBHOOKS(K)                                                                      \
    PST_CONF_KEYS_EDGED(K)                                                                         \
    PST_CONF_KEYS_BOTH(K)

#define PST_CONF_KEYS_POSTERND(K)                                                                  \
K(DATABASE_URL, "database.url", POSTERND, TEXT, "database", "sqlite:/var/lib/postern/postern.db", 1, 2048, RESTART, \
    "The database: sqlite: with the absolute path of a file, or postgresql:// with host, user and database.") \
K(KEYS_MASTER_FILE, "keys.master_file", POSTERND, TEXT, "path", "/etc/postern/master.key", 1, 4095, RESTART, \
    "The master key that seals all private keys in the database. Without it they are lost: keep a copy elsewhere.") \
K(API_LISTEN, "api.listen", POSTERND, LIST, "listen", "127.0.0.1:8080", 1, 16, RESTART, \
    "Where the API listens: address:port, or unix: with the path of a socket. Put nginx in front of it for the outside.") \
K(API_PUBLIC_URL, "api.public_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "The URL under which clients reach the API, for links in answers.") \
K(API_BODY_MAX, "api.body_max", POSTERND, SIZE, "bytes", "256K", 1024, 1048576, RESTART, \
    "Largest request body that the API accepts; more is answered with 413.") \
K(API_WORKERS, "api.workers", POSTERND, INT, "threads", "8", 1, 256, RESTART, \
    "Threads that answer API requests.") \
K(API_CONNECTIONS, "api.connections", POSTERND, INT, "connections", "16384", 16, 1000000, RESTART, \
    "Most connections that the API keeps open at the same time.") \
K(API_TIMEOUT, "api.timeout", POSTERND, DURATION, "seconds", "30s", 1, 3600, RESTART, \
    "Time within which an API request must be read and answered.") \
K(METRICS_LOOPBACK, "metrics.loopback", POSTERND, BOOL, "", "false", 0, 1, RESTART, \
    "Show /metrics without a token to whoever asks from a loopback address. Not where a proxy on this machine passes requests on over TCP.") \
K(PLATFORM_DOMAIN, "platform.domain", POSTERND, TEXT, "name", "", 0, 253, RESTART, \
    "Each app is also served as app.region.domain under this domain. Empty: apps have no such name.") \
K(PLATFORM_REGION, "platform.region", POSTERND, TEXT, "label", "osc-fr1", 1, 63, RESTART, \
    "The region of this installation, a part of the platform names.") \
K(PLATFORM_CERT_FILE, "platform.cert_file", POSTERND, TEXT, "path", "", 0, 4095, RESTART, \
    "PEM file with the certificate for the platform names, and its chain.") \
K(PLATFORM_KEY_FILE, "platform.key_file", POSTERND, TEXT, "path", "", 0, 4095, RESTART, \
    "PEM file with the private key of platform.cert_file.") \
K(PLATFORM_ACME, "platform.acme", POSTERND, BOOL, "", "false", 0, 1, RESTART, \
    "Get a wildcard certificate for the platform names from the ACME CA and renew it. platform.cert_file is preferred where it is given; until there is either, a local CA's is used.") \
K(PLATFORM_DNS_ENV_FILE, "platform.dns_env_file", POSTERND, TEXT, "path", "", 0, 4095, RESTART, \
    "File that only posternd can read with DNS_PROVIDER and the variables of that provider, NAME=value in each line, for the certificate of platform.acme. It is read again when it changes. Empty: the records are made by hand, once.") \
K(EDGE_ADDRESSES, "edge.addresses", POSTERND, LIST, "address", "", 0, 64, RESTART, \
    "Public IP addresses of the edges: what the A and AAAA records of customers' names must point to.") \
K(EDGE_CNAME, "edge.cname", POSTERND, TEXT, "name", "", 0, 253, RESTART, \
    "The name that customers' CNAME records must point to.") \
K(EDGE_PUBLIC_HTTP_PORT, "edge.public_http_port", POSTERND, INT, "", "80", 1, 65535, RESTART, \
    "The port on which the world reaches the edges with HTTP. A CA always uses 80.") \
K(EDGE_PUBLIC_HTTPS_PORT, "edge.public_https_port", POSTERND, INT, "", "443", 1, 65535, RESTART, \
    "The port on which the world reaches the edges with HTTPS; redirects use it.") \
K(EDGE_BARRIER_TIMEOUT, "edge.barrier_timeout", POSTERND, DURATION, "seconds", "10s", 1, 300, RESTART, \
    "How long a challenge waits until every live edge has its answer; later ones are left out.") \
K(EDGE_LIVE_TIMEOUT, "edge.live_timeout", POSTERND, DURATION, "seconds", "15s", 2, 3600, RESTART, \
    "An edge that has not asked for changes for so long does not count as live.") \
K(DNS_RESOLVER, "dns.resolver", POSTERND, TEXT, "host:port", "", 0, 255, RESTART, \
    "Send all DNS questions to this resolver, as 192.0.2.53:53. Empty: ask the zones' own servers.") \
K(DNS_INTERVAL, "dns.interval", POSTERND, DURATION, "seconds", "60s", 1, 86400, RESTART, \
    "How often the DNS is asked for what is waited for: records of a name that does not point here yet, a wildcard's record that is made by hand.") \
K(DNS_TIMEOUT, "dns.timeout", POSTERND, DURATION, "seconds", "5s", 1, 60, RESTART, \
    "How long one DNS look-up may take.") \
K(DNS_PROBE, "dns.probe", POSTERND, BOOL, "", "true", 0, 1, RESTART, \
    "Before a CA is asked, fetch a proof through the name itself that an edge of ours answers for it.") \
K(DNS_TRUST_ANCHOR, "dns.trust_anchor", POSTERND, TEXT, "path", "", 0, 4095, RESTART, \
    "File with the DNSSEC trust anchor of the root zone. Empty: the one of the system.") \
K(NAMES_ANY_TLD, "names.any_tld", POSTERND, BOOL, "", "false", 0, 1, RESTART, \
    "Accept names under top-level domains that do not exist, such as .test. Only for trials with a private CA.") \
K(NAMES_RELEASE_DAYS, "names.release_days", POSTERND, INT, "days", "30", 0, 3650, RESTART, \
    "For so long another account that adds a name which one has given up must prove by a DNS record that it is its own. 0: not at all.") \
K(GATE_ALLOW, "gate.allow", POSTERND, LIST, "network", "", 0, 64, RESTART, \
    "Networks inside private ranges that requests to customers' names may reach all the same. Only for trials.") \
K(UPSTREAM_ALLOW, "upstream.allow", POSTERND, LIST, "network", "", 0, 64, RESTART, \
    "Networks in which customers may place the upstreams of their apps.") \
K(APP_DOMAINS_MAX, "app.domains_max", POSTERND, INT, "domains", "20", 1, 10000, RESTART, \
    "Most domains that one app may have.") \
K(ACCOUNT_APPS_MAX, "account.apps_max", POSTERND, INT, "apps", "200", 1, 1000000, RESTART, \
    "Most apps that one tenant may have.") \
K(UPLOADS_AIA, "uploads.aia", POSTERND, BOOL, "", "false", 0, 1, RESTART, \
    "Fetch a missing intermediate of an uploaded certificate over plain HTTP from where the certificate says it is.") \
K(UPLOADS_RSA_BITS_MAX, "uploads.rsa_bits_max", POSTERND, INT, "bits", "4096", 2048, 16384, RESTART, \
    "Longest RSA key of an uploaded certificate. Longer ones cost an edge much time in each handshake.")

#define PST_CONF_KEYS_ACME(K)                                                                      \
K(ACME_DIRECTORY, "acme.directory", POSTERND, TEXT, "url", "https://acme-v02.api.letsencrypt.org/directory", 1, 2048, RESTART, \
    "The directory URL of the ACME CA.") \
K(ACME_CA_FILE, "acme.ca_file", POSTERND, TEXT, "path", "", 0, 4095, RESTART, \
    "PEM file with the roots that the ACME server's own certificate is checked against. Empty: those of the system.") \
K(ACME_CONTACT, "acme.contact", POSTERND, TEXT, "mail", "", 0, 254, RESTART, \
    "Mail address that the CA gets for the account.") \
K(ACME_EAB_KID, "acme.eab_kid", POSTERND, TEXT, "text", "", 0, 256, RESTART, \
    "Key identifier of the external account binding, for CAs that ask for one. Empty: none.") \
K(ACME_EAB_KEY_FILE, "acme.eab_key_file", POSTERND, TEXT, "path", "", 0, 4095, RESTART, \
    "File that only posternd can read with the MAC key of acme.eab_kid as the CA gave it, in base64url or base64. It is read when the account is registered and may be removed afterwards.") \
K(ACME_EAB_ALG, "acme.eab_alg", POSTERND, TEXT, "one of HS256 HS384 HS512", "HS256", 1, 16, RESTART, \
    "MAC algorithm of the external account binding.") \
K(ACME_PROFILE, "acme.profile", POSTERND, TEXT, "text", "", 0, 64, RESTART, \
    "Certificate profile to order, if the CA offers it. Empty: the CA's default.") \
K(ACME_WORKERS, "acme.workers", POSTERND, INT, "threads", "16", 1, 256, RESTART, \
    "Threads that talk to the CA; each carries one step of one order at a time.") \
K(ACME_KEY_TYPE, "acme.key_type", POSTERND, TEXT, "one of p256 p384 rsa", "p256", 1, 16, RESTART, \
    "Type of the keys that new certificates get.") \
K(ACME_POLL_FIRST_MS, "acme.poll_first_ms", POSTERND, INT, "milliseconds", "250", 50, 60000, RESTART, \
    "Wait before the first look at a pending authorization or order; later waits grow. A Retry-After of the CA counts more.") \
K(ACME_ORDERS_LIMIT, "acme.orders_limit", POSTERND, INT, "orders", "300", 1, 100000000, RESTART, \
    "Most new orders for one account in acme.orders_period.") \
K(ACME_ORDERS_PERIOD, "acme.orders_period", POSTERND, DURATION, "seconds", "3h", 1, 31536000, RESTART, \
    "The period of acme.orders_limit.") \
K(ACME_CERTS_LIMIT, "acme.certs_limit", POSTERND, INT, "certificates", "50", 1, 100000000, RESTART, \
    "Most new certificates for one registered domain in acme.certs_period.") \
K(ACME_CERTS_PERIOD, "acme.certs_period", POSTERND, DURATION, "seconds", "7d", 1, 31536000, RESTART, \
    "The period of acme.certs_limit.") \
K(ACME_FAILED_LIMIT, "acme.failed_limit", POSTERND, INT, "failures", "5", 1, 100000000, RESTART, \
    "Most failed validations of one name in acme.failed_period.") \
K(ACME_FAILED_PERIOD, "acme.failed_period", POSTERND, DURATION, "seconds", "1h", 1, 31536000, RESTART, \
    "The period of acme.failed_limit.") \
K(ACME_BACKOFF_FIRST, "acme.backoff_first", POSTERND, DURATION, "seconds", "60s", 1, 86400, RESTART, \
    "Wait after the first failure of an order; it doubles with each further one.") \
K(ACME_BACKOFF_MAX, "acme.backoff_max", POSTERND, DURATION, "seconds", "1d", 1, 2592000, RESTART, \
    "Longest wait between two attempts of an order.") \
K(ACME_RENEWAL_ASK, "acme.renewal_ask", POSTERND, DURATION, "seconds", "6h", 1, 86400, RESTART, \
    "Longest wait until the CA is asked again when a certificate should be renewed (RFC 9773); a longer Retry-After of the CA is cut to it.") \
K(ACME_PREFERRED_CHAIN, "acme.preferred_chain", POSTERND, TEXT, "text", "", 0, 256, RESTART, \
    "Take the chain whose last certificate was issued by this common name, if the CA offers it.")

#define PST_CONF_KEYS_DNS(K)                                                                  \
K(DNS_WORKERS, "dns.workers", POSTERND, INT, "threads", "8", 1, 256, RESTART, \
    "Threads that talk to the DNS providers and name servers of customers; each customer has at most two of them at once.") \
K(DNS_REMOVE_MAX, "dns.remove_max", POSTERND, DURATION, "seconds", "7d", 60, 31536000, RESTART, \
    "A value of ours that a DNS provider does not let go is given up after so long; an event says so.") \
K(DNS_AZURE_BASE_URL, "dns.azure.base_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of the API of Azure: an https URL, or http on loopback for trials.") \
K(DNS_CLOUDFLARE_BASE_URL, "dns.cloudflare.base_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of the API of Cloudflare: an https URL, or http on loopback for trials.") \
K(DNS_DNSIMPLE_BASE_URL, "dns.dnsimple.base_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of the API of DNSimple: an https URL, or http on loopback for trials.") \
K(DNS_GANDI_BASE_URL, "dns.gandi.base_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of the API of Gandi (provider gandi): an https URL, or http on loopback for trials.") \
K(DNS_GANDIV5_BASE_URL, "dns.gandiv5.base_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of the API of Gandi (provider gandiv5): an https URL, or http on loopback for trials.") \
K(DNS_GCLOUD_BASE_URL, "dns.gcloud.base_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of the API of Google Cloud DNS: an https URL, or http on loopback for trials.") \
K(DNS_GODADDY_BASE_URL, "dns.godaddy.base_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of the API of GoDaddy: an https URL, or http on loopback for trials.") \
K(DNS_OVH_BASE_URL, "dns.ovh.base_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of the API of OVHcloud: an https URL, or http on loopback for trials.") \
K(DNS_ROUTE53_BASE_URL, "dns.route53.base_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of the API of Route 53: an https URL, or http on loopback for trials.") \
K(DNS_AZURE_TOKEN_URL, "dns.azure.token_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of https://login.microsoftonline.com, or of the whole token endpoint there.") \
K(DNS_GCLOUD_TOKEN_URL, "dns.gcloud.token_url", POSTERND, TEXT, "url", "", 0, 2048, RESTART, \
    "Instead of Google's token endpoint.")

#define PST_CONF_KEYS_DNSD(K)                                                                      \
K(DNSD_ZONE, "dnsd.zone", POSTERND, TEXT, "name", "", 0, 190, RESTART, \
    "The zone below which customers delegate their DNS challenges, once, by a CNAME record; it is delegated to dnsd.ns. Empty: there is none.") \
K(DNSD_LISTEN, "dnsd.listen", POSTERND, LIST, "address:port", "", 0, 16, RESTART, \
    "Addresses on which posternd answers for dnsd.zone itself, by UDP and TCP, as 192.0.2.1:53. Empty: it does not.") \
K(DNSD_NS, "dnsd.ns", POSTERND, LIST, "name", "", 0, 8, RESTART, \
    "Names of the servers of dnsd.zone, the first being the primary one. They must lie outside of the zone.") \
K(DNSD_ADMIN, "dnsd.admin", POSTERND, TEXT, "mail", "", 0, 190, RESTART, \
    "Mail address in the SOA record of dnsd.zone. Empty: hostmaster@ the zone.") \
K(DNSD_TTL, "dnsd.ttl", POSTERND, DURATION, "seconds", "5s", 0, 3600, RESTART, \
    "How long resolvers may keep the values of challenges.") \
K(DNSD_NEGATIVE_TTL, "dnsd.negative_ttl", POSTERND, DURATION, "seconds", "1s", 0, 3600, RESTART, \
    "How long resolvers may keep it that there is no value.") \
K(DNSD_CAA, "dnsd.caa", POSTERND, LIST, "issuer", "", 0, 8, RESTART, \
    "CAs that may issue certificates for names in dnsd.zone itself, as CAA records of it; a lone ; is nobody. Empty: no such records.") \
K(DNSD_THREADS, "dnsd.threads", POSTERND, INT, "threads", "1", 1, 64, RESTART, \
    "Threads that answer by UDP. One answers more than a CA will ever ask.") \
K(DNSD_RATE_LIMIT, "dnsd.rate_limit", POSTERND, INT, "answers a second", "200", 0, 1000000, RESTART, \
    "Most answers a second by UDP to one network (/24, /56), so that forged questions harm nobody; TCP has no such limit. 0: none.") \
K(DNSD_RATE_SLIP, "dnsd.rate_slip", POSTERND, INT, "", "2", 0, 10, RESTART, \
    "Over dnsd.rate_limit, each so many-th question is answered with the advice to ask by TCP, the others are dropped. 0: all are dropped.") \
K(DNSD_TCP_CONNECTIONS, "dnsd.tcp_connections", POSTERND, INT, "connections", "256", 1, 65536, RESTART, \
    "Most TCP connections that are kept open at the same time; one network has at most an eighth of them. A new one takes the place of the one that was idle longest.") \
K(DNSD_TCP_TIMEOUT, "dnsd.tcp_timeout", POSTERND, DURATION, "seconds", "10s", 1, 120, RESTART, \
    "A TCP connection without a whole question for so long is closed.")

#define PST_CONF_KEYS_WEBHOOKS(K)                                                                  \
K(WEBHOOKS_CA_FILE, "webhooks.ca_file", POSTERND, TEXT, "path", "", 0, 4095, RESTART, \
    "PEM file with the roots that the receivers' certificates are checked against. Empty: those of the system.") \
K(WEBHOOKS_BACKOFF_FIRST, "webhooks.backoff_first", POSTERND, DURATION, "seconds", "5s", 1, 3600, RESTART, \
    "Wait before an event that was not taken is sent again; it doubles with each further failure, up to an hour.") \
K(WEBHOOKS_GIVE_UP, "webhooks.give_up", POSTERND, DURATION, "seconds", "3d", 60, 31536000, RESTART, \
    "A webhook that has failed for so long is switched off.")

#define PST_CONF_KEYS_EDGED(K)                                                                     \
K(CONTROL_URL, "control.url", EDGED, TEXT, "control", "unix:/run/postern/posternd.sock", 1, 2048, RESTART, \
    "Where posternd is: unix: with the path of its socket, or its http:// or https:// URL. Plain HTTP only over loopback.") \
K(CONTROL_TOKEN_FILE, "control.token_file", EDGED, TEXT, "path", "", 0, 4095, RESTART, \
    "File with the one-time token that enrols this edge. Empty: the edge is enrolled already.") \
K(CONTROL_CA_FILE, "control.ca_file", EDGED, TEXT, "path", "", 0, 4095, RESTART, \
    "PEM file with the roots that the certificate of control.url is checked against. Empty: those of the system.") \
K(EDGE_NAME, "edge.name", EDGED, TEXT, "label", "", 0, 63, RESTART, \
    "The name of this edge in lists and alarms. Empty: the host name.") \
K(EDGE_PROBE_ADDRESS, "edge.probe_address", EDGED, TEXT, "host:port", "127.0.0.1:443", 1, 255, RESTART, \
    "Where posternd reaches the HTTPS port of this edge, to see which certificate it serves.") \
K(REPLICA_DIR, "replica.dir", EDGED, TEXT, "path", "/var/lib/postern-edge/replica", 1, 3000, RESTART, \
    "The folder of the replica that nginx reads.") \
K(REPLICA_MAP_SIZE, "replica.map_size", EDGED, SIZE, "bytes", "64G", 1048576, INT64_C(17592186044416), RESTART, \
    "Largest size that the replica may grow to. It is address space, not memory or disk.") \
K(REPLICA_GROUP, "replica.group", EDGED, TEXT, "text", "", 0, 32, RESTART, \
    "The group of nginx's workers, which gets access to the replica. Empty: the group of postern-edged.") \
K(KEYS_DIR, "keys.dir", EDGED, TEXT, "path", "/etc/postern-edge", 1, 3000, RESTART, \
    "The folder of the edge's own keys and of its token; they never leave this machine.") \
K(BRAKE_PERCENT, "brake.percent", EDGED, INT, "percent", "2", 1, 100, LIVE, \
    "The edge keeps its old replica and raises an alarm when it would lose more than this part of its names within an hour.") \
K(BRAKE_MIN, "brake.min", EDGED, INT, "names", "100", 1, 1000000000, LIVE, \
    "Losses of fewer names than this never apply the brake.")

#define PST_CONF_KEYS_BOTH(K)                                                                      \
K(LOG_LEVEL, "log.level", BOTH, TEXT, "log levels", "info", 1, 512, LIVE, \
    "What is logged: error, warn, info or debug, for single groups too, as in info,order=debug.") \
K(LOG_FORMAT, "log.format", BOTH, TEXT, "one of text json", "text", 1, 8, RESTART, \
    "Log lines for people, or one JSON object a line.")
/* clang-format on */

#endif
