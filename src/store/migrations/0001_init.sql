-- 0001: the first schema.
--
-- Rules (docs: ARCHITECTURE.md, "Database"): one text for SQLite and PostgreSQL; a line that ends
-- with "-- sqlite" or "-- postgresql" is for that engine only.  Numbers and booleans are bigint,
-- ids are 24 hex digits in text, times are Unix milliseconds in *_at_ms (0: never, none),
-- not_before and not_after are Unix seconds, sealed is a blob that crypto/ made.
-- A migration that was released is never changed: make the next one.
--
-- min_binary: 1

CREATE DOMAIN blob AS bytea; -- postgresql

-- Small values by name; a row has a value or a sealed one.
CREATE TABLE meta (
    key text NOT NULL PRIMARY KEY,
    value text,
    sealed blob
);

-- Data keys of the keyring, wrapped under a master key.
CREATE TABLE data_keys (
    id bigint NOT NULL PRIMARY KEY,
    wrapped blob NOT NULL,
    created_at_ms bigint NOT NULL
);

-- ---- the feed ----

-- One row (id 1).  Its update is the last statement of each transaction that the edges must hear
-- of, so that revisions become visible in their order.
CREATE TABLE feed (
    id bigint NOT NULL PRIMARY KEY,
    epoch text NOT NULL,
    rev bigint NOT NULL
);

-- A cursor is (epoch, rev, id); id is 16 random hex digits.  Revision 0 has a row too.
CREATE TABLE feed_revisions (
    rev bigint NOT NULL PRIMARY KEY,
    id text NOT NULL,
    at_ms bigint NOT NULL
);

-- One row per object, not a log.
CREATE TABLE changes (
    kind text NOT NULL,
    key text NOT NULL,
    rev bigint NOT NULL,
    deleted bigint NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX changes_rev ON changes (rev, kind, key);

-- ---- users, tokens, apps ----

CREATE TABLE users (
    id text NOT NULL PRIMARY KEY,
    username text NOT NULL UNIQUE,
    email text NOT NULL,
    fullname text NOT NULL,
    role text NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE tokens (
    id text NOT NULL PRIMARY KEY,
    user_id text NOT NULL REFERENCES users (id),
    name text NOT NULL,
    hash text NOT NULL UNIQUE,
    created_at_ms bigint NOT NULL,
    last_used_at_ms bigint NOT NULL
);
CREATE INDEX tokens_user ON tokens (user_id, created_at_ms, id);

CREATE TABLE apps (
    id text NOT NULL PRIMARY KEY,
    name text NOT NULL UNIQUE,
    user_id text NOT NULL REFERENCES users (id),
    force_https bigint NOT NULL,
    sticky_session bigint NOT NULL,
    router_logs bigint NOT NULL,
    domains_max bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL
);
CREATE INDEX apps_user ON apps (user_id, created_at_ms, id);

-- In the order of the list that was set (pos 0, 1, ...).
CREATE TABLE upstreams (
    id text NOT NULL PRIMARY KEY,
    app_id text NOT NULL REFERENCES apps (id),
    pos bigint NOT NULL,
    address text NOT NULL,
    weight bigint NOT NULL,
    UNIQUE (app_id, address)
);

-- <app>.<region>.<platform domain>: a name object of the feed without steps.  A name is never
-- both here and in domains.
CREATE TABLE platform_names (
    ascii text NOT NULL PRIMARY KEY,
    app_id text NOT NULL UNIQUE REFERENCES apps (id)
);

-- ---- domains ----

CREATE TABLE domains (
    id text NOT NULL PRIMARY KEY,
    app_id text NOT NULL REFERENCES apps (id),
    user_id text NOT NULL REFERENCES users (id),
    name text NOT NULL,
    ascii text NOT NULL UNIQUE,
    parent text NOT NULL, -- ascii without its first label: where a wildcard finds its names
    wildcard bigint NOT NULL,
    acme_enabled bigint NOT NULL,
    canonical bigint NOT NULL,
    phase text NOT NULL,
    problem text NOT NULL,
    reason text NOT NULL,
    evidence text NOT NULL,
    record text NOT NULL,
    next_try_at_ms bigint NOT NULL,
    due_at_ms bigint NOT NULL,
    failures bigint NOT NULL,
    last_failure_at_ms bigint NOT NULL,
    acme_cert bigint NOT NULL,   -- certificates.num, 0: none
    custom_cert bigint NOT NULL, -- certificates.num, 0: none
    acme_seen_at_ms bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL
);
CREATE INDEX domains_app ON domains (app_id, created_at_ms, id);
CREATE INDEX domains_parent ON domains (parent);
CREATE INDEX domains_canonical ON domains (app_id) WHERE canonical = 1;
CREATE INDEX domains_watched ON domains (id)
    WHERE acme_enabled = 1 AND wildcard = 0 AND phase = 'dns';
CREATE INDEX domains_due ON domains (due_at_ms) WHERE acme_enabled = 1 AND due_at_ms > 0;
CREATE INDEX domains_acme_cert ON domains (acme_cert) WHERE acme_cert > 0;
CREATE INDEX domains_custom_cert ON domains (custom_cert) WHERE custom_cert > 0;

-- Who gave a name up last, and when: for some time nobody else gets it without a proof.
CREATE TABLE released_names (
    ascii text NOT NULL PRIMARY KEY,
    user_id text NOT NULL,
    released_at_ms bigint NOT NULL
);

-- A row to lock for rules about all names of a registered domain, whoever holds them.
CREATE TABLE registered_domains (
    ascii text NOT NULL PRIMARY KEY,
    locked_n bigint NOT NULL
);

-- ---- certificates ----

CREATE TABLE certificates (
    id text NOT NULL PRIMARY KEY,
    num bigint NOT NULL UNIQUE,
    domain_id text NOT NULL, -- '': the platform's own; the domain may be gone already
    origin text NOT NULL,
    key_type text NOT NULL,
    sha256 text NOT NULL,
    serial text NOT NULL,
    subject text NOT NULL,
    issuer text NOT NULL,
    not_before bigint NOT NULL,
    not_after bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    loose_at_ms bigint NOT NULL, -- when a ladder last stopped naming it; at first: when it was made
    leaf blob NOT NULL,
    sealed blob NOT NULL
);
CREATE INDEX certificates_loose ON certificates (loose_at_ms);

-- Issuers are stored once; key is the first 16 hex digits of the DER's SHA-256.
CREATE TABLE issuers (
    key text NOT NULL PRIMARY KEY,
    der blob NOT NULL
);

CREATE TABLE certificate_issuers (
    certificate_id text NOT NULL REFERENCES certificates (id),
    pos bigint NOT NULL,
    issuer_key text NOT NULL REFERENCES issuers (key),
    PRIMARY KEY (certificate_id, pos)
);
CREATE INDEX certificate_issuers_key ON certificate_issuers (issuer_key);

-- The platform's default certificates (one row, id 1): certificates.num, 0: none.
CREATE TABLE default_ladder (
    id bigint NOT NULL PRIMARY KEY,
    files_cert bigint NOT NULL,
    local_cert bigint NOT NULL
);

-- ---- ACME ----

CREATE TABLE accounts (
    id text NOT NULL PRIMARY KEY,
    directory text NOT NULL UNIQUE,
    url text NOT NULL,
    contact text NOT NULL,
    thumbprint text NOT NULL,
    status text NOT NULL,
    reason text NOT NULL,
    terms_agreed_at_ms bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    sealed blob NOT NULL
);

-- One row per attempt.  lease_token is the fence: each claim adds one, each save asks for it.
CREATE TABLE orders (
    id text NOT NULL PRIMARY KEY,
    domain_id text NOT NULL, -- the domain may be gone already
    user_id text NOT NULL,
    account_id text NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    certificate_id text NOT NULL,
    run_at_ms bigint NOT NULL,
    wait_rev bigint NOT NULL,
    lease_token bigint NOT NULL,
    lease_owner text NOT NULL,
    lease_until_ms bigint NOT NULL,
    attempt bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    ended_at_ms bigint NOT NULL,
    order_url text NOT NULL,
    problem text NOT NULL,
    detail text NOT NULL,
    sealed blob NOT NULL,
    data text NOT NULL
);
CREATE UNIQUE INDEX orders_open ON orders (domain_id) WHERE ended_at_ms = 0;
CREATE INDEX orders_due ON orders (run_at_ms) WHERE ended_at_ms = 0;
CREATE INDEX orders_waiting ON orders (wait_rev) WHERE ended_at_ms = 0 AND wait_rev > 0;
CREATE INDEX orders_domain ON orders (domain_id, created_at_ms, id);

-- When each tenant last had an order claimed: the one who waited longest is next.
CREATE TABLE order_turns (
    user_id text NOT NULL PRIMARY KEY,
    claimed_at_ms bigint NOT NULL
);

-- GCRA: tat is the theoretical arrival time.
CREATE TABLE buckets (
    kind text NOT NULL,
    key text NOT NULL,
    tat_ms bigint NOT NULL,
    blocked_until_ms bigint NOT NULL,
    PRIMARY KEY (kind, key)
);

CREATE TABLE challenges (
    token text NOT NULL PRIMARY KEY,
    ascii text NOT NULL,
    answer text NOT NULL,
    until_ms bigint NOT NULL
);
CREATE INDEX challenges_until ON challenges (until_ms);

-- ---- edges ----

-- Session ticket keys, sealed under ('ticket', id): 16 bytes name, 32 AES, 32 HMAC.
CREATE TABLE tickets (
    id text NOT NULL PRIMARY KEY,
    not_before bigint NOT NULL UNIQUE, -- two nodes that make the same period's key at once
    not_after bigint NOT NULL,
    sealed blob NOT NULL
);

CREATE TABLE enrol_tokens (
    hash text NOT NULL PRIMARY KEY,
    region text NOT NULL,
    until_ms bigint NOT NULL
);

CREATE TABLE edges (
    id text NOT NULL PRIMARY KEY,
    name text NOT NULL UNIQUE,
    region text NOT NULL,
    token_hash text NOT NULL UNIQUE,
    public_key blob NOT NULL,
    probe_address text NOT NULL,
    acked_rev bigint NOT NULL,
    caught_up bigint NOT NULL,
    polled_at_ms bigint NOT NULL,
    created_at_ms bigint NOT NULL
);

-- ---- events ----

CREATE TABLE events (
    seq integer PRIMARY KEY AUTOINCREMENT, -- sqlite
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgresql
    id text NOT NULL UNIQUE,
    at_ms bigint NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    request_id text NOT NULL,
    app_id text NOT NULL,
    domain_id text NOT NULL,
    text text NOT NULL
);
CREATE INDEX events_domain ON events (domain_id, seq);
CREATE INDEX events_app ON events (app_id, seq);
