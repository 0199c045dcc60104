-- 0032: the platform's own wildcard by ACME.
--
-- min_binary: 1

-- The domain whose ACME certificate stands in the default ladder, between the operator's files and
-- the local CA's; '': none.  It belongs to an app of the platform itself, and no name of the edges
-- is made of it: what answers below it are the platform names of apps.
ALTER TABLE default_ladder ADD COLUMN domain_id text NOT NULL DEFAULT '';
