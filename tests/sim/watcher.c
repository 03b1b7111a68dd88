/* An interceptor in every client and server: each call that begins for it ends for it, once, whatever happens. */
#include <inttypes.h>
#include <tether/interceptor.h>

#include "tests/sim/world.h"

/* A call's state. */
struct seen {
  bool ended;
};

static tether_code on_begin(void *data, tether_call *call, void **state) {
  (void)data;
  if (*state) sim_wrong(NULL, "a call of %s begins with a state", tether_call_path(call));
  if (sim->starting) {
    sim->starting->call = call; /* it may be answered, and more, before its start has returned */
    sim->starting = NULL;
  }
  *state = tether_call_alloc(call, sizeof(struct seen));
  sim->watched[tether_call_is_server(call)].begun++;
  return TETHER_OK;
}

static void on_message(void *data, tether_call *call, bool sent, size_t bytes, void *state) {
  const struct seen *seen = state;
  (void)data, (void)bytes;
  bool streams = tether_call_method(call)->flags & (TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING);
  if (!streams && seen->ended)
    sim_wrong(NULL, "a message of %s is %s after its end", tether_call_path(call), sent ? "sent" : "received");
}

static void on_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  struct seen *seen = state;
  bool server = tether_call_is_server(call);
  (void)data;
  if (summary->ended_ns < summary->started_ns || summary->queue_ns < 0 || summary->wasted_ns < 0)
    sim_wrong(NULL, "a call of %s took less than no time", tether_call_path(call));
  if (!seen) return;
  if (seen->ended) sim_wrong(NULL, "a call of %s ends twice for an interceptor", tether_call_path(call));
  seen->ended = true;
  sim->watched[server].ended++;
}

static const tether_interceptor watcher = {.begin = on_begin, .message = on_message, .end = on_end};
const tether_interceptor *const sim_watchers[] = {&watcher, NULL};

void sim_check_watched(void) {
  for (int server = 0; server < 2; server++)
    if (sim->watched[server].begun != sim->watched[server].ended)
      sim_wrong(NULL, "%" PRIu64 " calls have begun for %ss' interceptors, and %" PRIu64 " ended",
                sim->watched[server].begun, server ? "server" : "client", sim->watched[server].ended);
}
