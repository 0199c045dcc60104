-- 0030: challenges whose answer stands in the DNS.
--
-- min_binary: 1

-- How the domain's order is validated, or its last one was: 'http-01', 'dns-01:manual',
-- 'dns-01:delegation', 'dns-01:provider', 'dns-persist-01'; '': not decided yet.
ALTER TABLE domains ADD COLUMN acme_method text NOT NULL DEFAULT '';
-- The TXT record that the tenant must make by hand, and until when it is of use (the end of the
-- CA's order, Unix seconds); '' and 0: none.
ALTER TABLE domains ADD COLUMN acme_dns_fqdn text NOT NULL DEFAULT '';
ALTER TABLE domains ADD COLUMN acme_dns_value text NOT NULL DEFAULT '';
ALTER TABLE domains ADD COLUMN acme_dns_until bigint NOT NULL DEFAULT 0;
-- What is wrong with the DNS provider's variables of the app, as a JSON object; '': nothing.
ALTER TABLE domains ADD COLUMN acme_dns_error text NOT NULL DEFAULT '';

-- Which workers run the order's next step: 'ca', or 'dns' for what talks to hosts of tenants.
ALTER TABLE orders ADD COLUMN lane text NOT NULL DEFAULT 'ca';
DROP INDEX orders_due;
CREATE INDEX orders_due ON orders (lane, run_at_ms) WHERE ended_at_ms = 0;

-- Leased orders of a tenant, of whom only some may run at once in the lane 'dns'.
CREATE INDEX orders_leased ON orders (user_id) WHERE ended_at_ms = 0 AND lease_until_ms > 0;

-- When the DNS provider's variables of the domain's app are to be tried; 0: not.
ALTER TABLE domains ADD COLUMN dns_check_at_ms bigint NOT NULL DEFAULT 0;
CREATE INDEX domains_dns_check ON domains (dns_check_at_ms) WHERE dns_check_at_ms > 0;

-- Wildcards could not be validated before.
UPDATE domains SET phase = 'work', problem = '', due_at_ms = 1,
    reason = 'The way to prove control of the name in the DNS is being looked for.'
    WHERE wildcard = 1 AND acme_enabled = 1 AND problem = 'dns01-unavailable';

-- A TXT value that is, or may be, at a tenant's DNS provider.  The row is there before the value
-- and goes after it, whatever becomes of the order, the domain, the app and its variables.
CREATE TABLE dns_records (
    id text NOT NULL PRIMARY KEY,
    order_id text NOT NULL,
    domain_id text NOT NULL,
    app_id text NOT NULL,
    user_id text NOT NULL,
    provider text NOT NULL,
    name text NOT NULL,   -- of the challenge
    target text NOT NULL, -- where the name's CNAMEs lead: there the value is written
    value text NOT NULL,
    removing bigint NOT NULL, -- its order needs it no more
    settled bigint NOT NULL,  -- nobody can be adding it any more: one good removal is enough
    created_at_ms bigint NOT NULL,
    run_at_ms bigint NOT NULL, -- when its removal is due
    tries bigint NOT NULL,     -- failed ones
    problem text NOT NULL,     -- of the last one
    lease_token bigint NOT NULL,
    lease_owner text NOT NULL,
    lease_until_ms bigint NOT NULL,
    sealed blob NOT NULL -- the variables that it is written with, sealed under ('dns_record', id)
);
CREATE INDEX dns_records_order ON dns_records (order_id);
CREATE INDEX dns_records_due ON dns_records (run_at_ms);
CREATE INDEX dns_records_leased ON dns_records (user_id) WHERE lease_until_ms > 0;
