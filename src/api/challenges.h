/* challenges.h - how control of a wildcard's name is proved by DNS, as tenants see it. */
#ifndef POSTERN_API_CHALLENGES_H
#define POSTERN_API_CHALLENGES_H

#include <postern/store.h>

struct pst_err;
struct pst_json;
struct pst_req;

/*
 * The members acme_dns_fqdn, acme_dns_value, acme_dns_error (platform API contract, section 3) and
 * ours, acme_method and acme_dns_until.
 *
 * waiting   letsencrypt_status is "dns_required": only then there is a record to be made.
 */
bool pst_json_set_challenge(struct pst_json *to, const struct pst_domain *d, bool waiting);

/*
 * The member acme_options: the ways in which control of a wildcard can be proved, those that end
 * the work for good before those that do not, the best one first.  Other domains and those with
 * ACME off do not have it.  PST_OK or negative.
 */
int pst_acme_options(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                     struct pst_json *to, struct pst_err *err);

#endif
