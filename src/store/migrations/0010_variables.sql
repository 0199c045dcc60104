-- 0010: variables of apps; tokens with less than their user's rights.
--
-- min_binary: 10

-- The environment of an app; sealed under ('variable', id).
CREATE TABLE variables (
    id text NOT NULL PRIMARY KEY,
    app_id text NOT NULL REFERENCES apps (id),
    name text NOT NULL,
    sealed blob NOT NULL,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL,
    UNIQUE (app_id, name)
);

-- read_only: may only read, whatever its user may.  app_id: may only be used for this app ('': any).
-- issued_at_ms: when its secret was made (0: with the token).
ALTER TABLE tokens ADD COLUMN read_only bigint NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN app_id text NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN issued_at_ms bigint NOT NULL DEFAULT 0;
CREATE INDEX tokens_app ON tokens (app_id) WHERE app_id <> '';

-- The domain that Clever Cloud's tools call the favourite one ('': none).
ALTER TABLE apps ADD COLUMN favourite text NOT NULL DEFAULT '';
