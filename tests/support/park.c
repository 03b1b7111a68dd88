#include "tests/support/park.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/server.h"

struct tst_park {
  tether_server *server;
  atomic_int at_once;
  tst_counter arrived, gone;
  pthread_mutex_t lock;
  /* under lock */
  tst_parked *first, **last_next;
};

#define METHOD(name, streaming)                                                      \
  {                                                                                  \
    .path = "/testing.v1.Park/" name, .request = &testing__v1__request__descriptor,  \
    .reply = &testing__v1__reply__descriptor,                                        \
    .flags = TETHER_METHOD_INLINE | TETHER_METHOD_IDEMPOTENT | (unsigned)(streaming) \
  }
const tether_method tst_park_unary = METHOD("Unary", 0);
const tether_method tst_park_download = METHOD("Download", TETHER_METHOD_SERVER_STREAMING);
const tether_method tst_park_upload = METHOD("Upload", TETHER_METHOD_CLIENT_STREAMING);
const tether_method tst_park_chat = METHOD("Chat", TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING);

/* ---- Handlers ------------------------------------------------------------------------------ */

/* The last touch. */
static void drop(tst_parked *parked) {
  tst_park *park = parked->park;
  if (atomic_fetch_sub(&parked->holders, 1) == 1) tst_counter_add(&park->gone, 1);
}

static void finish(tst_parked *parked, tether_code code) {
  parked->end_ns = tether_now_ns();
  tether_call_finish(parked->call, code);
  drop(parked);
}

static void on_cut(void *data) {
  tst_parked *parked = data;
  if (!atomic_exchange(&parked->claimed, true)) {
    const tether_ctx *ctx = tether_call_ctx(parked->call);
    parked->err = tether_ctx_err(ctx);
    parked->cause = tether_cause_ref(tether_ctx_cause(ctx));
    finish(parked, TETHER_CANCELLED);
  }
  drop(parked);
}

static tether_code answer(tether_call *call, const char *name, ProtobufCMessage *reply, tether_code code) {
  if (code != TETHER_OK) return tether_call_fail(call, code, "%s", name);
  if (!reply) return TETHER_OK;
  char *text = tether_call_strdup(call, name);
  if (!text) return TETHER_RESOURCE_EXHAUSTED;
  ((Testing__V1__Reply *)reply)->text = text;
  return TETHER_OK;
}

static tether_code arrive(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                          ProtobufCMessage *reply, const void *service, void *data) {
  tst_park *park = data;
  (void)service;
  const char *name = tether_metadata_get(tether_call_metadata(call), "x-name", NULL);
  if (!name) name = request ? ((const Testing__V1__Request *)request)->name : "";
  int at_once = reply && request ? atomic_load(&park->at_once) : -1;
  tst_parked *parked = calloc(1, sizeof *parked);
  if (!parked) return TETHER_RESOURCE_EXHAUSTED;
  *parked = (tst_parked){.park = park, .call = call, .reply = reply, .remaining_ns = tether_ctx_remaining_ns(ctx)};
  snprintf(parked->name, sizeof parked->name, "%s", name);
  parked->holders = 1; /* this function */
  if (at_once < 0) {
    tether_call_defer(call);
    parked->holders = 3; /* and the registration, and who ends it */
    tether_ctx_after_func(ctx, &parked->after, NULL, on_cut, parked);
  }
  pthread_mutex_lock(&park->lock);
  *park->last_next = parked;
  park->last_next = &parked->next;
  pthread_mutex_unlock(&park->lock);
  tether_code code = at_once < 0 ? TETHER_OK : answer(call, parked->name, reply, (tether_code)at_once);
  tst_counter_add(&park->arrived, 1);
  drop(parked);
  return code;
}

bool tst_parked_end(tst_parked *parked, tether_code code) {
  if (atomic_exchange(&parked->claimed, true)) return false;
  if (tether_after_stop(&parked->after)) drop(parked);
  finish(parked, answer(parked->call, parked->name, parked->reply, code));
  return true;
}

/* ---- The server ---------------------------------------------------------------------------- */

static void release(tst_park *park) {
  while (park->first) {
    tst_parked *parked = park->first;
    park->first = parked->next;
    tether_cause_unref(parked->cause);
    free(parked);
  }
  pthread_mutex_destroy(&park->lock);
  tst_counter_fini(&park->arrived);
  tst_counter_fini(&park->gone);
  free(park);
}

tst_park *tst_park_open(const tth_transport *transport, const char *url) {
  static const tether_served_method served[] = {
      {&tst_park_unary, arrive}, {&tst_park_download, arrive}, {&tst_park_upload, arrive}, {&tst_park_chat, arrive}};
  static const tether_server_options options = {.max_workers = 1, .limits.max_streams = 4096};
  tst_park *park = calloc(1, sizeof *park);
  if (!park) return NULL;
  park->at_once = -1;
  park->last_next = &park->first;
  pthread_mutex_init(&park->lock, NULL);
  tst_counter_init(&park->arrived);
  tst_counter_init(&park->gone);
  tether_code code = tth_server_open_on(transport ? transport : &tth_transport_nng, &options, &park->server);
  if (code == TETHER_OK) code = tether_server_add(park->server, served, sizeof served / sizeof *served, NULL, park);
  if (code == TETHER_OK) code = tether_server_listen(park->server, url);
  if (code == TETHER_OK) return park;
  tether_server_close(park->server);
  release(park);
  return NULL;
}

uint16_t tst_park_port(const tst_park *park) { return tether_server_port(park->server); }

void tst_park_close(tst_park *park) {
  if (!park) return;
  tether_server_close(park->server); /* cuts who is parked, and waits for them */
  if (tst_park_wait_gone(park, tst_park_arrived(park))) release(park);
}

void tst_park_at_once(tst_park *park, int code) { atomic_store(&park->at_once, code); }

int tst_park_arrived(tst_park *park) { return (int)tst_counter_get(&park->arrived); }
int tst_park_gone(tst_park *park) { return (int)tst_counter_get(&park->gone); }

bool tst_park_wait_arrived(tst_park *park, int count) { return tst_counter_wait(&park->arrived, count, TST_BOUND_NS); }
bool tst_park_wait_gone(tst_park *park, int count) { return tst_counter_wait(&park->gone, count, TST_BOUND_NS); }

static tst_parked *look_for(tst_park *park, int i, const char *name) {
  pthread_mutex_lock(&park->lock);
  tst_parked *parked = park->first;
  while (parked && (name ? strcmp(parked->name, name) != 0 : i-- > 0)) parked = parked->next;
  pthread_mutex_unlock(&park->lock);
  return parked;
}

tst_parked *tst_park_at(tst_park *park, int i) {
  return tst_park_wait_arrived(park, i + 1) ? look_for(park, i, NULL) : NULL;
}

struct search {
  tst_park *park;
  const char *name;
  tst_parked *found;
};

static bool is_found(void *data) {
  struct search *search = data;
  search->found = look_for(search->park, 0, search->name);
  return search->found != NULL;
}

tst_parked *tst_park_find(tst_park *park, const char *name) {
  struct search search = {.park = park, .name = name};
  return tst_wait_until(is_found, &search, TST_BOUND_NS) ? search.found : NULL;
}

static bool is_gone(void *data) { return atomic_load(&((tst_parked *)data)->holders) == 0; }

bool tst_parked_wait_gone(tst_parked *parked) { return tst_wait_until(is_gone, parked, TST_BOUND_NS); }

void park_assert_cut_at(tst_parked *parked, tether_cause_code code, const char *text, const char *file, int line) {
  _assert_true(parked && tst_parked_wait_gone(parked), "the handler has ended", file, line);
  _assert_string_equal(tether_cause_code_name(tether_cause_get_code(parked->cause)), tether_cause_code_name(code), file,
                       line);
  if (text) _assert_string_equal(tether_cause_text(parked->cause), text, file, line);
}

void park_print(char *to, size_t size, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(to, size, format, args);
  va_end(args);
}
