/* rpc/hedge.h: hedged calls inside the library. */
#ifndef TETHER_RPC_HEDGE_H
#define TETHER_RPC_HEDGE_H

#include <tether/hedge.h>

#include "rpc/client.h"

/* A hedged call's attempts; shared by them, their timers and, by policy, the call that stands for all of them. */
typedef struct tth_hedge tth_hedge;

/* Starts the attempts of a call by the service config's policy: `call`, which has a context and a client and is
 * RUNNING, ends with the results of the attempt whose answer counts, by tth_client_call_adopt. It keeps the hedge.
 * `group` may be NULL; the call is to be its member. */
void tth_hedge_start(tether_call *call, const tth_hedging_policy *policy, const ProtobufCMessage *request,
                     const tether_call_options *options);

/* A call that `config` hedges; NULL without memory. */
TETHER_MUST_USE tether_call *tth_hedge_call(tether_client *client, const tether_ctx *ctx, const tether_method *method,
                                            const tth_method_config *config, const ProtobufCMessage *request,
                                            const tether_call_options *options, tether_call_done_fn done, void *data);

/* tether_call_cancel_and_wait of such a call. */
TETHER_MUST_USE tether_code tth_hedge_cancel_and_wait(tether_call *call, const tether_cause *cause, int64_t timeout_ns,
                                                      uint32_t *running);

/* Takes NULL. */
void tth_hedge_unref(tth_hedge *hedge);

/* Ends the attempts of a call whose context has ended, instead of whoever is to tell them, and with them the call. One
 * that another thread is starting ends as it starts. */
void tth_hedge_expire(tth_hedge *hedge);

/* Before the call's context is cancelled: from now on who tells a server to stop an attempt, also one that another
 * thread is just starting, says how long is left until then, in real time; 0: nobody waits. */
void tth_hedge_will_wait(tth_hedge *hedge, int64_t until_ns);
int64_t tth_hedge_wait_ns(const tth_hedge *hedge);

/* How often attempts have left. */
unsigned tth_hedge_attempts(tth_hedge *hedge);

/* The i-th attempt, referenced; NULL: it has not been started. */
TETHER_MUST_USE tether_call *tth_hedge_attempt(tth_hedge *hedge, int i);

#endif
