#include "tests/support/alloc_fault.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/support/ctx_test.h"

/* ---- Allocations --------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
char *__wrap_strndup(const char *text, size_t len);
int __real_vasprintf(char **text, const char *format, va_list arguments);
int __wrap_vasprintf(char **text, const char *format, va_list arguments);

static _Thread_local bool exempt; /* what this thread does now is not the library's */
static atomic_int allocations, fail_from = INT_MAX, fail_count;

void tst_alloc_fail(int from, int count) {
  atomic_store(&allocations, 0);
  atomic_store(&fail_count, count);
  atomic_store(&fail_from, from);
}

int tst_alloc_count(void) { return atomic_load(&allocations); }

bool tst_alloc_exempt(bool yes) {
  bool before = exempt;
  exempt = yes;
  return before;
}

static bool fails(void) {
  if (exempt) return false;
  int number = atomic_fetch_add(&allocations, 1), from = atomic_load(&fail_from);
  if (number < from || number - from >= atomic_load(&fail_count)) return false;
  errno = ENOMEM;
  return true;
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
char *__wrap_strdup(const char *text) { return fails() ? NULL : __real_strdup(text); }
char *__wrap_strndup(const char *text, size_t len) { return fails() ? NULL : __real_strndup(text, len); }
int __wrap_vasprintf(char **text, const char *format, va_list arguments) {
  return fails() ? -1 : __real_vasprintf(text, format, arguments);
}

/* ---- Lives --------------------------------------------------------------------------------- */

int tst_alloc_fail_each(const tst_alloc_life *life, int count) {
  int from = 0, made, step = life->step ? life->step : 1;
  do {
    if (life->begin) life->begin();
    tst_alloc_fail(from, count);
    life->live();
    made = tst_alloc_count();
    tst_alloc_fail(INT_MAX, 0);
    if (life->end) life->end();
    from += step;
  } while (made > from - step);
  print_message("%d allocations\n", made);
  assert_true(made >= life->least);
  return made;
}

void tst_alloc_fail_every_way(const tst_alloc_life *life) {
  tst_alloc_fail_each(life, 1);
  tst_alloc_fail_each(life, 3);
  tst_alloc_fail_each(life, INT_MAX);
}

/* ---- The net, whose own memory is there ---------------------------------------------------- */

#define OUTSIDE(call)                     \
  do {                                    \
    bool before = tst_alloc_exempt(true); \
    call;                                 \
    tst_alloc_exempt(before);             \
  } while (0)
#define INSIDE(call)                       \
  do {                                     \
    bool before = tst_alloc_exempt(false); \
    call;                                  \
    tst_alloc_exempt(before);              \
  } while (0)

/* A link's real owner; few, since links are closed as soon as they were lost. */
static struct slot {
  tth_link *link;
  const tth_link_events *events;
  void *owner;
} slots[64];

static const tth_link_ops *_Atomic real_ops; /* links are freed on workers too */

static void on_received(void *owner, const uint8_t *batch, size_t len) {
  const struct slot *slot = owner;
  INSIDE(slot->events->received(slot->owner, batch, len));
}

static void on_sent(void *owner) {
  const struct slot *slot = owner;
  INSIDE(slot->events->sent(slot->owner));
}

static void on_closed(void *owner, const char *why) {
  struct slot slot = *(struct slot *)owner;
  ((struct slot *)owner)->link = NULL;
  INSIDE(slot.events->closed(slot.owner, why));
}

static const tth_link_events events = {.received = on_received, .sent = on_sent, .closed = on_closed};

static void link_start(tth_link *link, const tth_link_events *theirs, void *owner) {
  struct slot *slot = slots;
  while (slot->link) slot++;
  *slot = (struct slot){.link = link, .events = theirs, .owner = owner};
  OUTSIDE(real_ops->start(link, &events, slot));
}

static void link_send(tth_link *link, const uint8_t *batch, size_t len) { OUTSIDE(real_ops->send(link, batch, len)); }
static void link_close(tth_link *link) { OUTSIDE(real_ops->close(link)); }
static void link_free(tth_link *link) { OUTSIDE(real_ops->free(link)); }
static const char *link_peer(const tth_link *link) { return real_ops->peer(link); }

static const tth_link_ops link_ops = {
    .start = link_start, .send = link_send, .close = link_close, .free = link_free, .peer = link_peer};

static tth_link *wrapped(tth_link *link) {
  if (link) {
    real_ops = link->ops;
    link->ops = &link_ops;
  }
  return link;
}

static void (*accepted_fn)(void *owner, tth_link *link);
static void (*dialed_fn)(void *owner, tth_link *link, const char *why);

static void on_accepted(void *owner, tth_link *link) { INSIDE(accepted_fn(owner, wrapped(link))); }
static void on_dialed(void *owner, tth_link *link, const char *why) { INSIDE(dialed_fn(owner, wrapped(link), why)); }

static tether_code dialer_new(const char *url, tth_tls *tls, tth_dialer **dialer) {
  tether_code code;
  OUTSIDE(code = tst_transport_mem.dialer_new(url, tls, dialer));
  return code;
}

static void dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  dialed_fn = done;
  OUTSIDE(tst_transport_mem.dial(dialer, timeout_ns, on_dialed, owner));
}

static tether_code listen_on(const char *url, tth_tls *tls, void (*accepted)(void *owner, tth_link *link), void *owner,
                             tth_listener **listener) {
  tether_code code;
  accepted_fn = accepted;
  OUTSIDE(code = tst_transport_mem.listen(url, tls, on_accepted, owner, listener));
  return code;
}

static void dialer_free(tth_dialer *dialer) { OUTSIDE(tst_transport_mem.dialer_free(dialer)); }
static void listener_free(tth_listener *listener) { OUTSIDE(tst_transport_mem.listener_free(listener)); }

const tth_transport tst_transport_alloc = {.dialer_new = dialer_new,
                                           .dial = dial,
                                           .dialer_free = dialer_free,
                                           .listen = listen_on,
                                           .listener_free = listener_free};

void tst_alloc_deliver(tst_mem_net *net) { OUTSIDE(tst_link_mem_advance(net, tether_now_ns())); }
