/* tether/hedge.h: hedged calls: a second attempt when the first is slow or fails in a way that is worth another; the
 * first answer counts and the other attempts are cancelled, over all hops, with cause HEDGE_LOST. After gRPC's hedging
 * policy (grpc/proposal A6).
 *
 *   static const uint32_t non_fatal = 1u << TETHER_UNAVAILABLE;
 *   tether_client *replicas[] = {a, b};
 *   tether_hedging hedging = {.max_attempts = 2, .delay_ns = 20 * TETHER_MS, .non_fatal = non_fatal,
 *                             .clients = replicas, .client_count = 2};
 *   tether_call *call = tether_call_hedged(&hedging, ctx, &demo_v1_greeter_say_hello_method, &request.base, NULL);
 *
 * A client's service config can hedge its calls by itself (rpc.h, "Service config"): then tether_call_unary and
 * tether_call_start return one call that stands for the attempts, and the stubs need not be changed. The rules are the
 * same: a server's grpc-retry-pushback-ms holds the next attempt back, or says that there is to be none; a client whose
 * throttle is out of tokens sends the first attempt only; attempts after the first carry grpc-previous-rpc-attempts.
 *
 * All attempts run under the one deadline. A server may run several of them to their end, so only unary methods
 * declared idempotent are hedged. */
#ifndef TETHER_HEDGE_H
#define TETHER_HEDGE_H

#include <tether/rpc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* gRPC's cap on attempts. */
#define TETHER_HEDGE_MOST 5

typedef struct tether_hedging {
  int max_attempts;   /* in all, 1 .. TETHER_HEDGE_MOST; more count as that many */
  int64_t delay_ns;   /* from one attempt to the next; 0: all at once */
  uint32_t non_fatal; /* a set of codes, 1u << code each: such an answer does not count while another attempt may
                         give a better one, and starts the next at once. Every other code is final */
  tether_client *const *clients; /* attempt i goes to clients[i % client_count]; they outlive the call's end */
  size_t client_count;           /* >= 1 */
} tether_hedging;

/* A hedged unary call, blocking: returns the attempt whose answer counts: the first final one, or the last if none was.
 * Never NULL; release it with tether_call_unref. `request` and `options` as for tether_call_unary; of options->group
 * it is one member, whatever becomes of single attempts.
 * Besides what a call may end with, TETHER_INVALID_ARGUMENT: the method streams or is not idempotent, there is no
 * client, or max_attempts < 1. */
TETHER_API TETHER_MUST_USE tether_call *tether_call_hedged(const tether_hedging *hedging, const tether_ctx *ctx,
                                                           const tether_method *method, const ProtobufCMessage *request,
                                                           const tether_call_options *options);

/* The same without blocking: `done` is called once, with that attempt, as tether_call_start's is (also before this
 * returns). The callback's call is borrowed. To give up early cancel `ctx`. `request` and `options` are copied. */
TETHER_API void tether_call_hedged_start(const tether_hedging *hedging, const tether_ctx *ctx,
                                         const tether_method *method, const ProtobufCMessage *request,
                                         const tether_call_options *options, tether_call_done_fn done, void *data);

#ifdef __cplusplus
}
#endif
#endif
