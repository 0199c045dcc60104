/* event_internal.h - what the files of event/ share; seen only by them and their tests. */
#ifndef POSTERN_EVENT_INTERNAL_H
#define POSTERN_EVENT_INTERNAL_H

#include <postern/base.h>
#include <postern/event.h>
#include <postern/history.h>

/* The hash of an event behind `before` ("" for the first): hex and a NUL. */
int pst_event_hash(const struct pst_event *e, const char *before, char ret[65],
                   struct pst_err *err);

enum { PST_WEBHOOK_SIGNATURE_SIZE = 128 };
/* The value of X-Postern-Signature. */
int pst_webhook_sign(const struct pst_secret *secret, int64_t now, const char *body, size_t len,
                     char ret[PST_WEBHOOK_SIGNATURE_SIZE], struct pst_err *err);

/* What the failure of an attempt at `now_ms` makes of a webhook: when to try again, or that it is
 * switched off. */
void pst_webhook_failed(struct pst_webhook *w, const struct pst_webhooks_opts *o, int64_t now_ms);

#endif
