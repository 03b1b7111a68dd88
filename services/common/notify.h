/* common/notify.h: tells systemd about the process, if it wants to know: the protocol of sd_notify(3), whose page has
 * it in full, one datagram to the socket named in the environment. */
#ifndef SERVICES_COMMON_NOTIFY_H
#define SERVICES_COMMON_NOTIFY_H

#include <stdint.h>

/* Sends lines such as "READY=1", "STOPPING=1", "WATCHDOG=1". Nothing happens without NOTIFY_SOCKET; a message that
 * cannot be sent is logged, and the service goes on. */
void svc_notify(const char *lines);

/* How often WATCHDOG=1 is to be sent: half of WATCHDOG_USEC, for a process that this is meant for. TETHER_FOREVER:
 * never. */
int64_t svc_watchdog_interval_ns(void);

#endif
