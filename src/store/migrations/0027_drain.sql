-- 0027: upstreams that are drained.
--
-- A draining upstream stays in its app's list and gets no new requests.
--
-- min_binary: 1

ALTER TABLE upstreams ADD COLUMN drain bigint NOT NULL DEFAULT 0;
