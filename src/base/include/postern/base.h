/* base.h - all of base/ in one include.  Each part's header opens with its model. */
#ifndef POSTERN_BASE_H
#define POSTERN_BASE_H

#include <postern/buf.h>
#include <postern/clock.h>
#include <postern/err.h>
#include <postern/io.h>
#include <postern/log.h>
#include <postern/mem.h>
#include <postern/rand.h>
#include <postern/secret.h>
#include <postern/service.h>
#include <postern/text.h>

#endif
