/* rpc/balance.h: which of a client's subchannels connect, which one a call goes to, and what state that makes, by the
 * client's policy. Everything is under the client's lock.
 *
 *   pick first: subchannels get their turn one after the other: when all before have failed, or 250 ms after the one
 *   before (grpc/proposal A61). The first that is READY is chosen, and the others rest. When it is lost it begins anew.
 *   The other policies: all connect, and all that are READY take calls. */
#ifndef TETHER_RPC_BALANCE_H
#define TETHER_RPC_BALANCE_H

#include "rpc/subchannel.h"

typedef struct tth_balance {
  tether_balancing policy;
  tth_subchannel **ready; /* those that take calls, in the order of the addresses; room for all */
  size_t ready_count;
  size_t next;            /* round robin */
  uint64_t random;        /* least of two: the generator's state */
  tth_subchannel *chosen; /* pick first; NULL: none yet */
  int64_t turn_ns;        /* pick first: when the next one has its turn at the latest */
} tth_balance;

/* The connection for a call; NULL: none is READY. */
tth_conn *tth_balance_pick_locked(tether_client *client);

/* Has connect what is to connect now, and notes what has become READY or was lost. Returns when to come again. */
int64_t tth_balance_act_locked(tether_client *client, int64_t now_ns);

/* Of all subchannels together, by gRPC's rules: READY if one is, TRANSIENT_FAILURE if all are, else CONNECTING. */
tether_connectivity tth_balance_state_locked(const tether_client *client);

/* A subchannel has left READY, or the list: it takes no more calls. */
void tth_balance_drop_locked(tether_client *client, const tth_subchannel *subchannel);

#endif
