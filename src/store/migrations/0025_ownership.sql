-- 0025: who may hold a name.
--
-- A name that was given up concerns the wildcard over it, too: parent is ascii without its first
-- label, as in domains.
--
-- min_binary: 1

ALTER TABLE released_names ADD COLUMN parent text NOT NULL DEFAULT '';
UPDATE released_names SET parent = substr(ascii, instr(ascii, '.') + 1); -- sqlite
UPDATE released_names SET parent = substr(ascii, strpos(ascii, '.') + 1); -- postgresql
CREATE INDEX released_names_parent ON released_names (parent);
