/* A thread that looks after receives that are left to waiting threads (link_nng_receive.c), when none comes.
 *
 *   ARMED ──lease──> on the list ──a tick: somebody has waited meanwhile──> on the list
 *                        │
 *                        ├──a tick: not ARMED any more──> off the list (whoever arms again leases again)
 *                        └──a tick: nobody has waited since the last──> off the list, the transport receives
 *
 * The thread sleeps while the list is empty. It holds a link only while it acts on it; a link that ends leaves the
 * list. nng's own timers are no use here: in 1.5.2 the thread of an expiring operation spins, with a lock that other
 * operations need, until the clock has passed the millisecond (measured: one call in a hundred took 700 us longer). */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "rpc/link_nng_impl.h"
#include "rpc/real_time.h"

#define CONTAINER(pointer) ((tth_nng_link *)(void *)((char *)(pointer)-offsetof(tth_nng_link, lease_node)))

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed; /* on CLOCK_MONOTONIC */
/* under mu */
static bool started;
static tth_nng_list_node *leased;
static int64_t tick_ns = 10 * TETHER_MS;

static void remove_locked(tth_nng_link *link) {
  tth_nng_list_node *node = &link->lease_node;
  *(node->prev ? &node->prev->next : &leased) = node->next;
  if (node->next) node->next->prev = node->prev;
  *node = (tth_nng_list_node){0};
  atomic_store(&link->leased, false);
}

static void add_locked(tth_nng_link *link) {
  tth_nng_list_node *node = &link->lease_node;
  node->prev = NULL;
  node->next = leased;
  if (leased) leased->prev = node;
  leased = node;
  atomic_store(&link->leased, true);
  link->lease_waits = atomic_load(&link->waits) - 1; /* two ticks at least, as the first may come at once */
}

void tth_nng_lease(tth_nng_link *link) {
  if (atomic_load(&link->leased)) return;
  pthread_mutex_lock(&mu);
  if (!atomic_load(&link->leased) && !atomic_load(&link->ending)) {
    if (!leased) pthread_cond_signal(&changed);
    add_locked(link);
  }
  pthread_mutex_unlock(&mu);
}

void tth_nng_lease_end(tth_nng_link *link) {
  pthread_mutex_lock(&mu);
  if (atomic_load(&link->leased)) remove_locked(link);
  pthread_mutex_unlock(&mu);
}

/* Whether the link's time is over: then it is off the list, and held. */
static bool is_over_locked(tth_nng_link *link) {
  unsigned waits = atomic_load(&link->waits);
  bool armed = atomic_load(&link->pull) == TTH_NNG_ARMED, over = armed && waits == link->lease_waits;
  link->lease_waits = waits;
  if (armed && !over) return false;
  remove_locked(link);
  if (over) return tth_nng_try_hold(link);
  if (atomic_load(&link->pull) == TTH_NNG_ARMED) add_locked(link); /* its armer saw it on the list */
  return false;
}

/* Looks at every link once. */
static void tick_locked(void) {
  tth_nng_link *over = NULL;
  for (tth_nng_list_node *node = leased, *next; node; node = next) {
    next = node->next;
    tth_nng_link *link = CONTAINER(node);
    if (!is_over_locked(link)) continue;
    link->lease_over = over;
    over = link;
  }
  pthread_mutex_unlock(&mu);
  while (over) {
    tth_nng_link *link = over;
    over = link->lease_over;
    link->events->unled(link->owner);
    tth_nng_push_back(link);
    tth_nng_drop(link);
  }
  pthread_mutex_lock(&mu);
}

static void *look_after(void *unused) {
  (void)unused;
  (void)pthread_setname_np(pthread_self(), "tether:lease");
  pthread_mutex_lock(&mu);
  for (;;) {
    while (!leased) pthread_cond_wait(&changed, &mu);
    int64_t until_ns = tether_time_add(tth_real_now_ns(), tick_ns);
    struct timespec until = {.tv_sec = (time_t)(until_ns / TETHER_SEC), .tv_nsec = (long)(until_ns % TETHER_SEC)};
    if (pthread_cond_timedwait(&changed, &mu, &until) == ETIMEDOUT) tick_locked();
  }
  return NULL;
}

static bool start_locked(void) {
  pthread_t thread;
  pthread_attr_t detached;
  pthread_condattr_t monotonic;
  sigset_t all, before;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool made = pthread_create(&thread, &detached, look_after, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&detached);
  return made;
}

bool tth_nng_lease_start(void) {
  pthread_mutex_lock(&mu);
  if (!started) started = start_locked();
  bool there_is = started;
  pthread_mutex_unlock(&mu);
  return there_is;
}

void tth_link_nng_set_lease(int64_t ns) {
  if (!tth_nng_lease_start()) return;
  pthread_mutex_lock(&mu);
  tick_ns = ns;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&mu);
}
