-- 0035: the CA's advice when to renew (RFC 9773) is asked for again and again.
--
-- One row per certificate of a CA that gives advice; it goes when no domain has the certificate
-- any more.
--
-- min_binary: 1

CREATE TABLE renewal_info (
    num bigint NOT NULL PRIMARY KEY, -- certificates.num
    start_at_ms bigint NOT NULL,     -- the window suggested last; 0: none was given yet
    end_at_ms bigint NOT NULL,
    ask_at_ms bigint NOT NULL
);
CREATE INDEX renewal_info_due ON renewal_info (ask_at_ms);
