/* rpc/real_time.h: the machine's time, for what blocks or is bounded by it whatever clock the program has installed. */
#ifndef TETHER_RPC_REAL_TIME_H
#define TETHER_RPC_REAL_TIME_H

#include <stdint.h>

/* CLOCK_MONOTONIC, in ns. */
int64_t tth_real_now_ns(void);

#endif
