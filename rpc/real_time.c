#include "rpc/real_time.h"

#include <tether/base.h>
#include <time.h>

int64_t tth_real_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * TETHER_SEC + now.tv_nsec;
}
