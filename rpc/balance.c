#include "rpc/balance.h"

#include "rpc/client.h"

/* grpc/proposal A61, after RFC 8305. */
#define TURN (250 * TETHER_MS)

/* ---- A call's connection ------------------------------------------------------------------- */

/* xorshift64*: spread, not secret. */
static uint32_t random_below(tth_balance *balance, size_t bound) {
  uint64_t x = balance->random;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  balance->random = x;
  return (uint32_t)(((x * UINT64_C(0x2545F4914F6CDD1D)) >> 32) * bound >> 32);
}

/* The power of two choices: the load evens out nearly as well as if all were looked at, and no one that looks idle for
 * the moment is rushed by everybody. */
static tth_conn *less_loaded(tth_balance *balance) {
  size_t first = random_below(balance, balance->ready_count), second = random_below(balance, balance->ready_count - 1);
  if (second >= first) second++;
  tth_conn *a = balance->ready[first]->conn, *b = balance->ready[second]->conn;
  return tth_conn_calls(b) < tth_conn_calls(a) ? b : a;
}

tth_conn *tth_balance_pick_locked(tether_client *client) {
  tth_balance *balance = &client->balance;
  if (balance->ready_count == 0) return NULL;
  if (balance->ready_count == 1) return balance->ready[0]->conn;
  if (balance->policy == TETHER_LEAST_OF_TWO) return less_loaded(balance);
  return balance->ready[balance->next++ % balance->ready_count]->conn;
}

/* ---- Who connects -------------------------------------------------------------------------- */

void tth_balance_drop_locked(tether_client *client, const tth_subchannel *sub) {
  tth_balance *balance = &client->balance;
  size_t kept = 0;
  for (size_t i = 0; i < balance->ready_count; i++)
    if (balance->ready[i] != sub) balance->ready[kept++] = balance->ready[i];
  balance->ready_count = kept;
  if (balance->chosen != sub) return;
  balance->chosen = NULL;
  for (size_t i = 0; i < client->subchannel_count; i++) client->subchannels[i]->turn = false;
}

static void choose(tether_client *client, tth_subchannel *chosen) {
  client->balance.chosen = chosen;
  for (size_t i = 0; i < client->subchannel_count; i++) {
    tth_subchannel *sub = client->subchannels[i];
    sub->turn = sub == chosen;
    if (sub != chosen) tth_subchannel_rest_locked(sub);
  }
}

/* Gives the next subchannels their turn. Returns when the one after has its. */
static int64_t give_turns(tether_client *client, int64_t now_ns) {
  tth_balance *balance = &client->balance;
  bool trying = false;
  for (size_t i = 0; i < client->subchannel_count; i++) {
    tth_subchannel *sub = client->subchannels[i];
    if (!sub->turn) {
      if (trying && balance->turn_ns > now_ns) return balance->turn_ns;
      sub->turn = true;
      balance->turn_ns = tether_time_add(now_ns, TURN);
    }
    if (sub->state == TETHER_IDLE) tth_subchannel_want_locked(sub);
    trying = trying || tth_subchannel_is_trying_locked(sub, now_ns);
  }
  return TETHER_FOREVER;
}

static void find_ready(tether_client *client) {
  tth_balance *balance = &client->balance;
  bool first = balance->policy == TETHER_PICK_FIRST;
  if (first && balance->chosen) return;
  balance->ready_count = 0;
  for (size_t i = 0; i < client->subchannel_count; i++) {
    tth_subchannel *sub = client->subchannels[i];
    if (sub->state != TETHER_READY) continue;
    balance->ready[balance->ready_count++] = sub;
    if (!first) continue;
    choose(client, sub);
    break;
  }
}

int64_t tth_balance_act_locked(tether_client *client, int64_t now_ns) {
  tth_balance *balance = &client->balance;
  int64_t again_ns = TETHER_FOREVER;
  find_ready(client);
  if (balance->policy == TETHER_PICK_FIRST && !balance->chosen) again_ns = give_turns(client, now_ns);
  for (size_t i = 0; i < client->subchannel_count; i++) {
    tth_subchannel *sub = client->subchannels[i];
    if (balance->policy != TETHER_PICK_FIRST && sub->state == TETHER_IDLE) tth_subchannel_want_locked(sub);
    int64_t due_ns = tth_subchannel_act_locked(sub, now_ns);
    if (due_ns < again_ns) again_ns = due_ns;
  }
  return again_ns;
}

tether_connectivity tth_balance_state_locked(const tether_client *client) {
  size_t failed = 0;
  if (client->balance.ready_count > 0) return TETHER_READY;
  for (size_t i = 0; i < client->subchannel_count; i++)
    failed += client->subchannels[i]->state == TETHER_TRANSIENT_FAILURE;
  if (failed < client->subchannel_count) return TETHER_CONNECTING;
  return failed > 0 || client->addresses.failed ? TETHER_TRANSIENT_FAILURE : TETHER_CONNECTING;
}
