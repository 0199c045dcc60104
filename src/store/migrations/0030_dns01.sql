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
