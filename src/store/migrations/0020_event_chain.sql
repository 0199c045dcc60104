-- 0020: the history is chained: each event's hash covers the one before it.
--
-- A follower seals events after they were committed, so that writing one waits for nobody.  The
-- order of the chain is the order of sealing: chain_pos counts 1, 2, ... without gaps, whereas seq
-- may become visible out of order.
--
-- min_binary: 1

ALTER TABLE events ADD COLUMN owner_id text NOT NULL DEFAULT ''; -- of the app, when it happened
ALTER TABLE events ADD COLUMN chain_pos bigint NOT NULL DEFAULT 0; -- 0: not sealed yet
ALTER TABLE events ADD COLUMN hash text NOT NULL DEFAULT '';
UPDATE events SET owner_id = coalesce((SELECT a.user_id FROM apps a WHERE a.id = events.app_id), '');
CREATE INDEX events_unsealed ON events (seq) WHERE chain_pos = 0;
CREATE UNIQUE INDEX events_chain ON events (chain_pos) WHERE chain_pos > 0;
CREATE INDEX events_owner ON events (owner_id, chain_pos);

-- One row (id 1): the end of the chain.  Who seals locks it.
CREATE TABLE event_chain (
    id bigint NOT NULL PRIMARY KEY,
    pos bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO event_chain (id, pos, hash) VALUES (1, 0, '');
