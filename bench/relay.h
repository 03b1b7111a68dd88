/* bench/relay.h: a process that passes on what it gets over a unix socket, later. */
#ifndef TETHER_BENCH_RELAY_H
#define TETHER_BENCH_RELAY_H

#include <sys/types.h>

/* Starts one that listens at `address` and connects to `target` for every connection; both ways take delay_ms longer.
 * Only while the process has one thread. */
pid_t bench_relay_start(const char *address, const char *target, int delay_ms);
void bench_relay_stop(pid_t pid);

#endif
