-- 0028: bundles of key and certificates that a user has sent, kept for domains added later.
--
-- A bundle is never on a ladder itself: when it is used, a certificate is made of it, whose key is
-- sealed anew.  Names and issuers are in tables of their own, the issuers' DER stands in issuers.
--
-- min_binary: 1

CREATE TABLE bundles (
    id text NOT NULL PRIMARY KEY,
    user_id text NOT NULL REFERENCES users (id),
    cert_num bigint NOT NULL, -- certificates.num of the one last made of it, 0: none; it may be gone
    key_type text NOT NULL,
    key_bits bigint NOT NULL,
    sha256 text NOT NULL, -- of the leaf
    serial text NOT NULL,
    subject text NOT NULL,
    issuer text NOT NULL,
    not_before bigint NOT NULL,
    not_after bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    leaf blob NOT NULL,
    sealed blob NOT NULL, -- the key, under ('bundle', id)
    UNIQUE (user_id, sha256)
);
CREATE INDEX bundles_end ON bundles (not_after);

CREATE TABLE bundle_names (
    bundle_id text NOT NULL REFERENCES bundles (id),
    pos bigint NOT NULL,
    user_id text NOT NULL, -- as in bundles
    ascii text NOT NULL,
    PRIMARY KEY (bundle_id, pos)
);
CREATE INDEX bundle_names_ascii ON bundle_names (user_id, ascii);

CREATE TABLE bundle_issuers (
    bundle_id text NOT NULL REFERENCES bundles (id),
    pos bigint NOT NULL,
    issuer_key text NOT NULL REFERENCES issuers (key),
    PRIMARY KEY (bundle_id, pos)
);
CREATE INDEX bundle_issuers_key ON bundle_issuers (issuer_key);
