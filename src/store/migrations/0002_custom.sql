-- 0002: customers' own certificates: what is warned of, known issuers, requests made here.
--
-- min_binary: 1

-- 0: not known, it stands in the certificate.
ALTER TABLE certificates ADD COLUMN key_bits bigint NOT NULL DEFAULT 0;
-- Which warnings of its end were given: 0 none, 1 thirty days before, 2 seven days, 3 it is over.
ALTER TABLE certificates ADD COLUMN warned bigint NOT NULL DEFAULT 0;
CREATE INDEX certificates_expiry ON certificates (not_after) WHERE origin = 'custom' AND warned < 3;

-- Hex SHA-256 of the subject in DER: a missing issuer is looked up by it.  '': stored before this.
ALTER TABLE issuers ADD COLUMN subject_sha256 text NOT NULL DEFAULT '';
CREATE INDEX issuers_subject ON issuers (subject_sha256);

-- Certificate requests whose key is made and stays here, sealed under ('request', id).
CREATE TABLE requests (
    id text NOT NULL PRIMARY KEY,
    domain_id text NOT NULL REFERENCES domains (id),
    key_type text NOT NULL,
    key_bits bigint NOT NULL,
    subject text NOT NULL,
    spki_sha256 text NOT NULL,
    created_at_ms bigint NOT NULL,
    used_at_ms bigint NOT NULL, -- when a certificate for it was last taken in; 0: never
    csr blob NOT NULL,
    sealed blob NOT NULL
);
CREATE INDEX requests_domain ON requests (domain_id, created_at_ms, id);
