/* rpc/policy.h: a policy's insides, shared by policy.c (the file) and policy_interceptor.c (calls). */
#ifndef TETHER_RPC_POLICY_H
#define TETHER_RPC_POLICY_H

#include <pthread.h>
#include <tether/policy.h>
#include <time.h>

#include "rpc/policy_rules.h"

struct tether_policy {
  char *path;
  tether_interceptor interceptor;
  pthread_rwlock_t lock;
  tth_rules *rules; /* under lock */

  pthread_mutex_t log_lock;
  /* under log_lock */
  time_t second; /* of the lines counted */
  unsigned lines;
};

/* The interceptor's begin; `data` is the policy. */
tether_code tth_policy_begin(void *data, tether_call *call, void **state);

#endif
