-- 0031: answers of dns-01 challenges that our own name servers give.
--
-- min_binary: 1

-- A label under the platform's challenge zone, and one TXT value that it has until then.
CREATE TABLE dns_answers (
    label text NOT NULL,
    value text NOT NULL,
    until_ms bigint NOT NULL,
    PRIMARY KEY (label, value)
);
CREATE INDEX dns_answers_until ON dns_answers (until_ms);

-- One row (id 1), counted up by each transaction that changes dns_answers: whoever serves them asks
-- only for this number.
CREATE TABLE dns_answers_version (
    id bigint NOT NULL PRIMARY KEY,
    version bigint NOT NULL
);
INSERT INTO dns_answers_version (id, version) VALUES (1, 0);
