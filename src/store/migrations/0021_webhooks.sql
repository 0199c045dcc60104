-- 0021: webhooks.
--
-- A webhook follows the chain of events: cursor is the chain_pos up to which it is through.  What
-- it is to be told next is found when it is due, so there is no row per event to be told.
--
-- min_binary: 1

CREATE TABLE webhooks (
    id text NOT NULL PRIMARY KEY,
    user_id text NOT NULL,
    app_id text NOT NULL, -- '': all apps of the user; all events, if that is an operator
    url text NOT NULL,
    kinds text NOT NULL, -- 'domain.* app.removed'; '': all
    active bigint NOT NULL,
    pending bigint NOT NULL, -- there may be events behind the cursor
    cursor_pos bigint NOT NULL,
    ping_id text NOT NULL, -- '': no test is asked for
    failures bigint NOT NULL, -- in a row
    failing_since_ms bigint NOT NULL,
    next_at_ms bigint NOT NULL,
    tried_at_ms bigint NOT NULL,
    delivered_at_ms bigint NOT NULL,
    last_status bigint NOT NULL, -- of HTTP, 0: none came
    last_error text NOT NULL,
    lease_token bigint NOT NULL,
    lease_owner text NOT NULL,
    lease_until_ms bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    sealed blob NOT NULL -- the secret, under ('webhook', id)
);
CREATE INDEX webhooks_user ON webhooks (user_id, created_at_ms, id);
CREATE INDEX webhooks_due ON webhooks (tried_at_ms) WHERE active = 1 AND pending = 1;
CREATE INDEX webhooks_leased ON webhooks (user_id, lease_until_ms) WHERE lease_until_ms > 0;
