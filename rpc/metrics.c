/* Recording calls. Happy path: begin finds the call's method by its address and this thread's cell of it, which is the
 * call's state; messages and the end add to that cell. Failures: without memory for a method its calls count as _OTHER;
 * without memory for a cell or histogram the call counts as lost. */
#include "rpc/metrics.h"

#include <stdlib.h>
#include <string.h>

/* ---- Finding the cell ---------------------------------------------------------------------- */

static unsigned shard_of_thread(void) {
  static _Atomic unsigned threads;
  static _Thread_local unsigned mine; /* plus one */
  if (!mine) mine = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % TTH_SHARDS + 1;
  return mine - 1;
}

static size_t home(const tether_method *method) {
  uint64_t mixed = (uint64_t)(uintptr_t)method * UINT64_C(0x9E3779B97F4A7C15);
  return (size_t)(mixed >> 32) & (TTH_METERED_SLOTS - 1);
}

/* The slot of the method, or the empty one where it belongs. */
static size_t find_slot(const tether_metrics *metrics, const tether_method *method, bool *found) {
  size_t i = home(method);
  const tether_method *key;
  while ((key = atomic_load_explicit(&metrics->slots[i].key, memory_order_acquire)) && key != method)
    i = (i + 1) & (TTH_METERED_SLOTS - 1);
  *found = key;
  return i;
}

static const char *name_of(const tether_method *method) { return method->path + (method->path[0] == '/'); }

/* The method of this name, new if there is none: descriptions may differ and be of the same path. NULL: no memory. */
static tth_metered *add_locked(tether_metrics *metrics, const tether_method *method) {
  size_t count = atomic_load(&metrics->count);
  for (size_t i = 0; i < count; i++)
    if (strcmp(metrics->methods[i]->name, name_of(method)) == 0) return metrics->methods[i];
  tth_metered *metered = calloc(1, sizeof *metered);
  char *name = metered ? strdup(name_of(method)) : NULL;
  if (!name) {
    free(metered);
    return NULL;
  }
  metered->name = name;
  metrics->methods[count] = metered;
  atomic_store(&metrics->count, count + 1);
  return metered;
}

/* Sees a method for the first time. */
static tth_metered *meet(tether_metrics *metrics, const tether_method *method) {
  bool found;
  pthread_mutex_lock(&metrics->mu);
  size_t i = find_slot(metrics, method, &found);
  tth_metered *metered = found ? metrics->slots[i].of : NULL;
  if (!found && metrics->used < TETHER_METRICS_METHODS && (metered = add_locked(metrics, method))) {
    metrics->slots[i].of = metered;
    atomic_store_explicit(&metrics->slots[i].key, method, memory_order_release);
    metrics->used++;
  }
  if (metrics->used == TETHER_METRICS_METHODS) atomic_store(&metrics->full, true);
  pthread_mutex_unlock(&metrics->mu);
  return metered;
}

static tth_metered *method_of(tether_metrics *metrics, const tether_call *call) {
  const tether_method *method = tether_call_method(call);
  tth_metered *metered = NULL;
  bool found = false;
  size_t i = method ? find_slot(metrics, method, &found) : 0;
  if (found)
    metered = metrics->slots[i].of;
  else if (method && !atomic_load_explicit(&metrics->full, memory_order_relaxed))
    metered = meet(metrics, method);
  return metered ? metered : metrics->methods[0];
}

/* Makes what *place is to point to, unless another thread has. NULL: no memory. */
static tth_cell *make_cell(tth_cell *_Atomic *place) {
  tth_cell *none = NULL, *made = calloc(1, sizeof *made);
  if (!made || atomic_compare_exchange_strong(place, &none, made)) return made;
  free(made);
  return none;
}

static tth_histogram *make_histogram(tth_histogram *_Atomic *place) {
  tth_histogram *none = NULL, *made = calloc(1, sizeof *made);
  if (!made || atomic_compare_exchange_strong(place, &none, made)) return made;
  free(made);
  return none;
}

static tth_cell *cell_of(tether_metrics *metrics, const tether_call *call) {
  tth_cell *_Atomic *place = &method_of(metrics, call)->cells[tether_call_is_server(call)][shard_of_thread()];
  tth_cell *cell = atomic_load_explicit(place, memory_order_acquire);
  return cell ? cell : make_cell(place);
}

const tth_bound tth_bounds[TTH_BOUNDS] = {
    {100 * TETHER_US, "0.0001"},  {250 * TETHER_US, "0.00025"}, {500 * TETHER_US, "0.0005"}, {1 * TETHER_MS, "0.001"},
    {2500 * TETHER_US, "0.0025"}, {5 * TETHER_MS, "0.005"},     {10 * TETHER_MS, "0.01"},    {25 * TETHER_MS, "0.025"},
    {50 * TETHER_MS, "0.05"},     {75 * TETHER_MS, "0.075"},    {100 * TETHER_MS, "0.1"},    {250 * TETHER_MS, "0.25"},
    {500 * TETHER_MS, "0.5"},     {750 * TETHER_MS, "0.75"},    {1 * TETHER_SEC, "1"},       {2500 * TETHER_MS, "2.5"},
    {5 * TETHER_SEC, "5"},        {7500 * TETHER_MS, "7.5"},    {10 * TETHER_SEC, "10"},
};

/* ---- Recording ----------------------------------------------------------------------------- */

static void add(_Atomic uint64_t *counter, uint64_t n) { atomic_fetch_add_explicit(counter, n, memory_order_relaxed); }

static void record(tth_histogram *histogram, int64_t ns) {
  size_t low = 0, high = TTH_BOUNDS;
  if (ns < 0) ns = 0;
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (ns <= tth_bounds[mid].ns)
      high = mid;
    else
      low = mid + 1;
  }
  add(&histogram->buckets[low], 1);
  add(&histogram->sum_ns, (uint64_t)ns);
}

static tether_code on_begin(void *data, tether_call *call, void **state) {
  tth_cell *cell = cell_of(data, call);
  if (cell) add(&cell->counts[TTH_COUNT_BEGUN], 1);
  *state = cell;
  return TETHER_OK;
}

static void on_message(void *data, tether_call *call, bool sent, size_t bytes, void *state) {
  tth_cell *cell = state;
  (void)data, (void)call;
  if (!cell) return;
  add(&cell->counts[sent ? TTH_COUNT_SENT : TTH_COUNT_RECEIVED], 1);
  add(&cell->counts[sent ? TTH_COUNT_SENT_BYTES : TTH_COUNT_RECEIVED_BYTES], bytes);
}

static void record_server(tth_cell *cell, const tether_call_summary *summary) {
  if (summary->budget_ns == TETHER_FOREVER)
    add(&cell->counts[TTH_COUNT_NO_DEADLINE], 1);
  else
    record(&cell->budget, summary->budget_ns);
  if (summary->handled)
    record(&cell->queue, summary->queue_ns);
  else
    add(&cell->counts[TTH_COUNT_UNHANDLED], 1);
  if (summary->wasted_ns > 0) add(&cell->counts[TTH_COUNT_WASTED_NS], (uint64_t)summary->wasted_ns);
}

static void record_client(tth_cell *cell, unsigned attempts) {
  if (attempts == 0)
    add(&cell->counts[TTH_COUNT_UNSENT], 1);
  else
    add(&cell->counts[TTH_COUNT_ATTEMPTS], attempts);
  if (attempts > 1) add(&cell->counts[TTH_COUNT_RETRIES], attempts - 1);
}

static void on_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  tether_metrics *metrics = data;
  tth_cell *cell = state ? state : cell_of(metrics, call);
  tth_histogram *_Atomic *place = cell ? &cell->duration[tether_call_code(call)] : NULL;
  tth_histogram *duration = place ? atomic_load_explicit(place, memory_order_acquire) : NULL;
  if (place && !duration) duration = make_histogram(place);
  if (state) add(&cell->counts[TTH_COUNT_ENDED], 1);
  if (!duration) {
    add(&metrics->lost, 1);
    return;
  }
  record(duration, summary->ended_ns - summary->started_ns);
  unsigned cause = (unsigned)tether_cause_get_code(tether_call_cause(call));
  if (cause != TETHER_CAUSE_NONE) add(&cell->cut[cause < TTH_CAUSES ? cause : TETHER_CAUSE_OTHER], 1);
  if (tether_call_is_server(call))
    record_server(cell, summary);
  else
    record_client(cell, tether_call_attempts(call));
}

static void on_connection(void *data, bool server, bool opened, const char *peer) {
  tether_metrics *metrics = data;
  (void)peer;
  add(&metrics->connections[server][!opened], 1);
}

/* ---- Life ---------------------------------------------------------------------------------- */

tether_code tether_metrics_new(tether_metrics **result) {
  tether_metrics *metrics = calloc(1, sizeof *metrics);
  tth_metered *other = calloc(1, sizeof *other);
  char *name = strdup("_OTHER");
  if (!metrics || !other || !name) {
    free(name);
    free(other);
    free(metrics);
    return TETHER_RESOURCE_EXHAUSTED;
  }
  other->name = name;
  metrics->methods[0] = other;
  metrics->count = 1;
  metrics->interceptor = (tether_interceptor){
      .begin = on_begin, .message = on_message, .end = on_end, .connection = on_connection, .data = metrics};
  pthread_mutex_init(&metrics->mu, NULL);
  *result = metrics;
  return TETHER_OK;
}

static void free_cell(tth_cell *cell) {
  for (size_t i = 0; cell && i < TETHER_CODES; i++) free(cell->duration[i]);
  free(cell);
}

void tether_metrics_free(tether_metrics *metrics) {
  if (!metrics) return;
  for (size_t i = 0; i < metrics->count; i++) {
    tth_metered *metered = metrics->methods[i];
    for (size_t j = 0; j < 2 * TTH_SHARDS; j++) free_cell(metered->cells[j / TTH_SHARDS][j % TTH_SHARDS]);
    free((char *)metered->name);
    free(metered);
  }
  pthread_mutex_destroy(&metrics->mu);
  free(metrics);
}

const tether_interceptor *tether_metrics_interceptor(const tether_metrics *metrics) { return &metrics->interceptor; }
