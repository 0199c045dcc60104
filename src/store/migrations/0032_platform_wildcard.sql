-- 0032: the platform's own wildcard by ACME; permanent records that end.
--
-- min_binary: 1

-- The domain whose ACME certificate stands in the default ladder, between the operator's files and
-- the local CA's; '': none.  It belongs to an app of the platform itself, and no name of the edges
-- is made of it: what answers below it are the platform names of apps.
ALTER TABLE default_ladder ADD COLUMN domain_id text NOT NULL DEFAULT '';

-- Permanent records (dns-persist-01) that end on a day of their own: persistUntil, Unix seconds.
-- warned: how many of the two warnings before it were given.
CREATE TABLE permanent_records (
    domain_id text NOT NULL PRIMARY KEY REFERENCES domains (id),
    until_at bigint NOT NULL,
    warned bigint NOT NULL
);
