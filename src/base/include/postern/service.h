/*
 * service.h - what a daemon tells its service manager (sd_notify(3)): one datagram, no library.
 */
#ifndef POSTERN_SERVICE_H
#define POSTERN_SERVICE_H

/* "READY=1", "STOPPING=1" or "STATUS=...", to $NOTIFY_SOCKET; without one nothing happens, and
 * failure does not matter.  Any thread; never blocks for long. */
void pst_service_notify(const char *state);

#endif
