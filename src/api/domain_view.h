/* domain_view.h - a domain with the certificates behind it, and what that looks like outside. */
#ifndef POSTERN_API_DOMAIN_VIEW_H
#define POSTERN_API_DOMAIN_VIEW_H

#include <postern/mem.h>
#include <postern/status.h>
#include <postern/store.h>

struct pst_err;
struct pst_json;

/* The steps of the ladder, in the order in which the edge tries them. */
enum pst_step {
    PST_STEP_CUSTOM,
    PST_STEP_ACME,
    PST_STEP_WILDCARD,
    PST_STEP_DEFAULT,
    PST_STEP__COUNT
};

struct pst_domain_view {
    const struct pst_domain *domain;
    struct {
        struct pst_certificate cert; /* without DER and key */
        bool there;                  /* there is a certificate on this step */
        bool valid;                  /* it counts: in its time, and not switched off */
        const char *why;             /* when it does not count: the reason, for people */
    } steps[PST_STEP__COUNT];
    struct pst_domain wildcard; /* whose certificate stands on PST_STEP_WILDCARD */
    enum pst_step taken;        /* the first that counts; PST_STEP_DEFAULT if none does */
    struct pst_status status;
    char reason[1200]; /* why it stands as it does, in sentences for people; "" when all is well */
};
void pst_domain_view_deinit(struct pst_domain_view *v);
#define auto_view __attribute__((cleanup(pst_domain_view_deinit)))

/* What the views of an app's domains are made of, read at once: a list would otherwise ask the
 * database several times for each of its domains. */
struct pst_view_source;
/* PST_OK or negative.  Free with pst_view_source_free(). */
int pst_view_source_load(struct pst_tx *tx, const char *app_id, struct pst_view_source **ret,
                         struct pst_err *err);
void pst_view_source_free(struct pst_view_source *s);
PST_CLEANUP(struct pst_view_source, pst_view_source_free);
/* PST_OK, PST_NOTFOUND.  What is given is a copy. */
int pst_view_source_certificate(const struct pst_view_source *s, int64_t num,
                                struct pst_certificate *ret);
int pst_view_source_wildcard(const struct pst_view_source *s, const char *ascii,
                             struct pst_domain *ret);
void pst_view_source_default(const struct pst_view_source *s, struct pst_default_ladder *ret);

/* Zero `ret` first.  now: Unix seconds.  source: of the domain's app, or NULL.  PST_OK or
 * negative. */
int pst_domain_view_load(struct pst_tx *tx, const struct pst_domain *d, int64_t now,
                         const struct pst_view_source *source, struct pst_domain_view *ret,
                         struct pst_err *err);

/* The Domain object of the platform API (section 3).  PST_OK or negative. */
int pst_domain_json(struct pst_tx *tx, const struct pst_domain_view *v, struct pst_json **ret,
                    struct pst_err *err);

const char *pst_step_name(enum pst_step s);

#endif
