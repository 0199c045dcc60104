-- 0026: imports of many domains.
--
-- The counts of an import are written in the transaction that applies its lines, so that what was
-- acknowledged is what was done, and a sender can always go on at lines + 1.
--
-- min_binary: 1

CREATE TABLE imports (
    id text NOT NULL PRIMARY KEY,
    user_id text NOT NULL, -- the account may be gone already
    app_id text NOT NULL, -- '': its lines name their apps
    dry_run bigint NOT NULL,
    state text NOT NULL, -- 'open', 'finished', 'cancelled', 'stopped'
    reason text NOT NULL, -- why it was stopped
    lines_expected bigint NOT NULL, -- as its sender said, 0: not said
    lines bigint NOT NULL, -- those that were seen; lines + 1 is the next
    added bigint NOT NULL,
    unchanged bigint NOT NULL,
    refused bigint NOT NULL,
    active_ms bigint NOT NULL, -- in which lines came
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL,
    ended_at_ms bigint NOT NULL
);
CREATE INDEX imports_user ON imports (user_id, created_at_ms, id);
CREATE INDEX imports_updated ON imports (updated_at_ms);

CREATE TABLE import_refusals (
    import_id text NOT NULL REFERENCES imports (id),
    line bigint NOT NULL,
    name text NOT NULL, -- as far as it could be read
    field text NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (import_id, line)
);

-- What a dry run would have added: later lines are judged by it, too.
CREATE TABLE import_names (
    import_id text NOT NULL REFERENCES imports (id),
    ascii text NOT NULL,
    app_id text NOT NULL,
    acme_enabled bigint NOT NULL,
    canonical bigint NOT NULL,
    sha256 text NOT NULL, -- of the certificate, '': none
    PRIMARY KEY (import_id, ascii)
);
CREATE INDEX import_names_app ON import_names (import_id, app_id);
