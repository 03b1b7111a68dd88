/* tests/support/link_mem.c: see the header. Everything under way is an event in one of a few queues: each link has
 * one for what comes from the other end (and its own closed), and one for `sent`; attempts to connect have one on the
 * net. A queue is in order; between queues the time due decides, then the order made or the seed. Events are handed
 * out one at a time and without the lock, so no owner is ever called from inside an operation. */
#include "tests/support/link_mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/link_mem_impl.h"

#define ROOM_DEFAULT ((size_t)256 * 1024)

/* So long a net that is to be freed waits for what it holds. */
#define FREED_WITHIN_SEC 5

void tst_mem_misuse(const char *what) {
  fprintf(stderr, "link_mem: tst_mem_misuse: %s\n", what);
  abort();
}

static mem_link *of(tth_link *link) { return (mem_link *)link; }

/* ---- Time and queues (under the lock) ------------------------------------------------------- */

int64_t tst_mem_now_locked(const tst_mem_net *net) {
  struct timespec now;
  if (net->manual) return net->now_ns;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * TETHER_SEC + now.tv_nsec;
}

void tst_mem_push_locked(tst_mem_net *net, mem_queue *queue, mem_event *event, int64_t due_ns) {
  event->next = NULL;
  event->due_ns = queue->last && queue->last->due_ns > due_ns ? queue->last->due_ns : due_ns;
  event->number = ++net->numbers;
  if (queue->last)
    queue->last->next = event;
  else
    queue->first = event;
  queue->last = event;
  pthread_cond_broadcast(&net->changed);
}

mem_event *tst_mem_pop_locked(mem_queue *queue) {
  mem_event *first = queue->first;
  queue->first = first->next;
  if (!queue->first) queue->last = NULL;
  return first;
}

static void clear_locked(mem_queue *queue) {
  while (queue->first) free(tst_mem_pop_locked(queue));
}

mem_event *tst_mem_event_new(mem_kind kind, const void *bytes, size_t len) {
  mem_event *made = calloc(1, sizeof *made + len);
  if (!made) tst_mem_misuse("out of memory");
  made->kind = kind;
  made->len = len;
  if (len) memcpy(made->bytes, bytes, len);
  return made;
}

/* Ends one end of a link: nothing else arrives there but `closed`. */
static void end_locked(mem_link *link, const char *why) {
  if (link->ending) return;
  link->ending = true;
  clear_locked(&link->inbox);
  clear_locked(&link->sents);
  mem_event *closed = tst_mem_event_new(CLOSED, NULL, 0);
  closed->why = why;
  closed->local = true;
  tst_mem_push_locked(link->net, &link->inbox, closed, tst_mem_now_locked(link->net));
}

/* Tells the other end, behind what was sent. */
static void tell_peer_locked(mem_link *link, const char *why) {
  mem_link *peer = link->peer;
  if (!peer || peer->ending) return;
  mem_event *closed = tst_mem_event_new(CLOSED, NULL, 0);
  closed->why = why;
  tst_mem_push_locked(link->net, &peer->inbox, closed, tether_time_add(tst_mem_now_locked(link->net), link->delay_ns));
}

static void room_locked(mem_link *link) {
  if (link->ending || !link->waiting || link->under_way > link->room) return;
  link->waiting = false;
  tst_mem_push_locked(link->net, &link->sents, tst_mem_event_new(SENT, NULL, 0), tst_mem_now_locked(link->net));
}

/* ---- Choosing what is next (under the lock) ------------------------------------------------- */

typedef struct choice {
  mem_queue *queue;
  mem_link *link;     /* whose queue it is, */
  tth_dialer *dialer; /* or whose */
  uint64_t rank;
  int64_t due_ns;
} choice;

static uint64_t mix(uint64_t value) {
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
  value = (value ^ value >> 27) * 0x94d049bb133111ebu;
  return value ^ value >> 31;
}

/* Makes `candidate` the best if its first event is before the best's. */
static void consider_locked(const tst_mem_net *net, choice *best, choice *candidate) {
  const mem_event *first = candidate->queue->first;
  const mem_link *link = candidate->link;
  if (!first || (link && !link->started)) return;
  if (link && link->held && candidate->queue == &link->inbox && !first->local) return;
  int64_t now_ns = tst_mem_now_locked(net);
  candidate->due_ns = first->due_ns < now_ns ? now_ns : first->due_ns;
  candidate->rank = net->seed ? mix(first->number ^ net->seed) : first->number;
  if (best->queue && candidate->due_ns > best->due_ns) return;
  if (best->queue && candidate->due_ns == best->due_ns && candidate->rank > best->rank) return;
  *best = *candidate;
}

static choice next_locked(tst_mem_net *net) {
  choice best = {.due_ns = TETHER_FOREVER};
  for (tth_dialer *dialer = net->dialers; dialer; dialer = dialer->next)
    consider_locked(net, &best, &(choice){.queue = &dialer->attempt, .dialer = dialer});
  for (mem_link *link = net->links; link; link = link->next) {
    consider_locked(net, &best, &(choice){.queue = &link->inbox, .link = link});
    consider_locked(net, &best, &(choice){.queue = &link->sents, .link = link});
  }
  return best;
}

/* ---- Delivering ----------------------------------------------------------------------------- */

/* Entered and left with the lock. */
static void deliver_locked(tst_mem_net *net, const choice *next) {
  mem_link *link = next->link;
  if (next->dialer) {
    tst_mem_deliver_attempt_locked(net, next->dialer);
    return;
  }
  mem_event *event = tst_mem_pop_locked(next->queue);
  const tth_link_events *events = link->events;
  void *owner = link->owner;
  if (event->kind == SENT) link->sending = false;
  if (event->kind == CLOSED) {
    link->ending = link->closed = true;
    clear_locked(&link->inbox);
    clear_locked(&link->sents);
  }
  if (event->kind == BATCH) {
    link->stats.batches_received++;
    link->stats.bytes_received += event->len;
    if (link->peer) {
      link->peer->under_way -= event->len;
      room_locked(link->peer);
    }
  }
  const tst_mem_watch *watch = link->watch;
  void *watch_data = link->watch_data;
  pthread_mutex_unlock(&net->lock);
  if (watch && event->kind == BATCH) watch->receives(watch_data, event->bytes, event->len);
  if (watch && event->kind == SENT) watch->sent(watch_data);
  if (watch && event->kind == CLOSED) watch->closed(watch_data, event->why);
  if (event->kind == BATCH)
    events->received(owner, event->bytes, event->len);
  else if (event->kind == SENT)
    events->sent(owner);
  else
    events->closed(owner, event->why); /* the link may be gone afterwards */
  free(event);
  pthread_mutex_lock(&net->lock);
}

static void *thread_main(void *arg) {
  tst_mem_net *net = arg;
  pthread_mutex_lock(&net->lock);
  while (!net->stopping) {
    choice next = next_locked(net);
    if (next.queue && next.due_ns <= tst_mem_now_locked(net)) {
      deliver_locked(net, &next);
    } else if (next.queue && next.due_ns < TETHER_FOREVER) {
      struct timespec until = {.tv_sec = (time_t)(next.due_ns / TETHER_SEC),
                               .tv_nsec = (long)(next.due_ns % TETHER_SEC)};
      pthread_cond_timedwait(&net->changed, &net->lock, &until);
    } else {
      pthread_cond_wait(&net->changed, &net->lock);
    }
  }
  pthread_mutex_unlock(&net->lock);
  return NULL;
}

bool tst_link_mem_step(tst_mem_net *net) {
  pthread_mutex_lock(&net->lock);
  if (!net->manual) tst_mem_misuse("pumping an automatic net");
  choice next = next_locked(net);
  bool due = next.queue && next.due_ns <= net->now_ns;
  if (due) deliver_locked(net, &next);
  pthread_mutex_unlock(&net->lock);
  return due;
}

size_t tst_link_mem_pump(tst_mem_net *net) {
  size_t count = 0;
  while (tst_link_mem_step(net)) count++;
  return count;
}

void tst_link_mem_advance(tst_mem_net *net, int64_t now_ns) {
  for (;;) {
    tst_link_mem_pump(net);
    int64_t next_ns = tst_mem_net_next_ns(net);
    pthread_mutex_lock(&net->lock);
    bool more = next_ns <= now_ns && next_ns != TETHER_FOREVER;
    if (more || net->now_ns < now_ns) net->now_ns = more ? next_ns : now_ns;
    pthread_mutex_unlock(&net->lock);
    if (!more) return;
  }
}

void tst_mem_net_move(tst_mem_net *net, int64_t now_ns) {
  pthread_mutex_lock(&net->lock);
  if (net->now_ns < now_ns) net->now_ns = now_ns;
  pthread_mutex_unlock(&net->lock);
}

/* ---- Nets ----------------------------------------------------------------------------------- */

tst_mem_net *tst_mem_net_new(bool manual) {
  tst_mem_net *net = calloc(1, sizeof *net);
  pthread_condattr_t monotonic;
  if (!net) return NULL;
  net->manual = manual;
  pthread_mutex_init(&net->lock, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&net->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (!manual && pthread_create(&net->thread, NULL, thread_main, net) != 0) {
    free(net);
    return NULL;
  }
  return net;
}

void tst_mem_net_free(tst_mem_net *net) {
  if (!net) return;
  pthread_mutex_lock(&net->lock);
  /* Another thread may just be letting go of the last call that kept a connection. */
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += FREED_WITHIN_SEC;
  while ((net->links || net->listeners || net->dialers) &&
         pthread_cond_timedwait(&net->changed, &net->lock, &until) == 0)
    continue;
  if (net->links || net->listeners || net->dialers)
    tst_mem_misuse("a net is freed before its links, dialers and listeners");
  net->stopping = true;
  pthread_cond_broadcast(&net->changed);
  pthread_mutex_unlock(&net->lock);
  if (!net->manual) pthread_join(net->thread, NULL);
  tst_mem_net_unuse(net);
  pthread_cond_destroy(&net->changed);
  pthread_mutex_destroy(&net->lock);
  free(net);
}

void tst_mem_net_shuffle(tst_mem_net *net, uint64_t seed) {
  pthread_mutex_lock(&net->lock);
  net->seed = seed;
  pthread_mutex_unlock(&net->lock);
}

int64_t tst_mem_net_now_ns(tst_mem_net *net) {
  pthread_mutex_lock(&net->lock);
  int64_t now_ns = tst_mem_now_locked(net);
  pthread_mutex_unlock(&net->lock);
  return now_ns;
}

int64_t tst_mem_net_next_ns(tst_mem_net *net) {
  pthread_mutex_lock(&net->lock);
  int64_t next_ns = next_locked(net).due_ns;
  pthread_mutex_unlock(&net->lock);
  return next_ns;
}

void tst_mem_net_unreachable(tst_mem_net *net, bool unreachable) {
  pthread_mutex_lock(&net->lock);
  net->unreachable = unreachable;
  pthread_mutex_unlock(&net->lock);
}

/* ---- Links ---------------------------------------------------------------------------------- */

static void link_start(tth_link *base, const tth_link_events *events, void *owner) {
  mem_link *link = of(base);
  pthread_mutex_lock(&link->net->lock);
  if (link->started) tst_mem_misuse("start twice");
  link->started = true;
  link->events = events;
  link->owner = owner;
  pthread_cond_broadcast(&link->net->changed);
  pthread_mutex_unlock(&link->net->lock);
}

/* Whether `sent` will not be needed. Every second batch, so that both ways are taken; on a manual net only as the seed
 * says, whose tests count what is delivered. */
static bool is_prompt_locked(tst_mem_net *net, const mem_link *link) {
  uint64_t number = net->manual ? net->seed ? mix(link->stats.batches_sent ^ net->seed) : 0 : link->stats.batches_sent;
  return number % 2 == 1 && !link->ending && link->under_way <= link->room;
}

static bool send_one(tth_link *base, const uint8_t *batch, size_t len, bool now) {
  mem_link *link = of(base);
  tst_mem_net *net = link->net;
  if (len == 0 || len > TTH_BATCH_MAX) tst_mem_misuse("a batch that is empty or too large");
  mem_event *event = tst_mem_event_new(BATCH, batch, len);
  const tst_mem_watch *watch = link->watch;
  void *watch_data = link->watch_data;
  if (watch) watch->sends(watch_data, event->bytes, len);
  pthread_mutex_lock(&net->lock);
  if (!link->started) tst_mem_misuse("send before start");
  if (!link->ending) {
    if (link->sending) tst_mem_misuse("send before the last one's sent");
    link->sending = true;
    link->stats.batches_sent++;
    link->stats.bytes_sent += len;
    if (link->peer && !link->peer->ending) {
      int64_t due_ns = tether_time_add(tst_mem_now_locked(net), link->delay_ns);
      tst_mem_push_locked(net, &link->peer->inbox, event, due_ns);
      event = NULL;
    }
    link->under_way += len;
    now = now && is_prompt_locked(net, link);
    link->sending = link->waiting = !now;
    room_locked(link);
  } else {
    now = false;
  }
  pthread_mutex_unlock(&net->lock);
  free(event);
  /* The link itself may be gone: what was sent may have led to its end. */
  if (!now && watch && watch->left) watch->left(watch_data);
  if (now && watch) watch->sent(watch_data);
  return now;
}

static void link_send(tth_link *base, const uint8_t *batch, size_t len) { (void)send_one(base, batch, len, false); }

static bool link_send_now(tth_link *base, const uint8_t *batch, size_t len) { return send_one(base, batch, len, true); }

static void link_close(tth_link *base) {
  mem_link *link = of(base);
  pthread_mutex_lock(&link->net->lock);
  if (!link->ending) {
    tell_peer_locked(link, "closed by the peer");
    end_locked(link, "closed");
  }
  pthread_mutex_unlock(&link->net->lock);
}

static void link_free(tth_link *base) {
  mem_link *link = of(base);
  if (!link) return;
  tst_mem_net *net = link->net;
  pthread_mutex_lock(&net->lock);
  if (link->started && !link->closed) tst_mem_misuse("free before closed");
  if (!link->ending) tell_peer_locked(link, "closed by the peer");
  if (link->peer) link->peer->peer = NULL;
  mem_link **at = &net->links;
  while (*at != link) at = &(*at)->next;
  *at = link->next;
  clear_locked(&link->inbox);
  clear_locked(&link->sents);
  pthread_cond_broadcast(&net->changed);
  pthread_mutex_unlock(&net->lock);
  free(link);
}

static const char *link_peer(const tth_link *base) { return ((const mem_link *)base)->name; }

static const tth_link_ops link_ops = {
    .start = link_start,
    .send = link_send,
    .send_now = link_send_now,
    .close = link_close,
    .free = link_free,
    .peer = link_peer,
};

static mem_link *link_new_locked(tst_mem_net *net) {
  mem_link *link = calloc(1, sizeof *link);
  if (!link) tst_mem_misuse("out of memory");
  link->base.ops = &link_ops;
  link->net = net;
  link->room = ROOM_DEFAULT;
  link->next = net->links;
  net->links = link;
  snprintf(link->name, sizeof link->name, "mem:%llu", (unsigned long long)++net->numbers);
  return link;
}

void tst_mem_pair_locked(tst_mem_net *net, mem_link **a, mem_link **b) {
  *a = link_new_locked(net);
  *b = link_new_locked(net);
  (*a)->peer = *b;
  (*b)->peer = *a;
}

void tst_link_pair(tst_mem_net *net, tth_link **a, tth_link **b) {
  mem_link *first, *second;
  pthread_mutex_lock(&net->lock);
  tst_mem_pair_locked(net, &first, &second);
  pthread_mutex_unlock(&net->lock);
  *a = &first->base;
  *b = &second->base;
}

tth_link *tst_mem_other_end(tth_link *link) {
  pthread_mutex_lock(&of(link)->net->lock);
  mem_link *peer = of(link)->peer;
  pthread_mutex_unlock(&of(link)->net->lock);
  return peer ? &peer->base : NULL;
}

void tst_mem_watch_link(tth_link *link, const tst_mem_watch *watch, void *data) {
  pthread_mutex_lock(&of(link)->net->lock);
  of(link)->watch = watch;
  of(link)->watch_data = data;
  pthread_mutex_unlock(&of(link)->net->lock);
}

void *tst_mem_owner(tth_link *link) {
  pthread_mutex_lock(&of(link)->net->lock);
  void *owner = of(link)->owner;
  pthread_mutex_unlock(&of(link)->net->lock);
  return owner;
}

/* ---- Faults --------------------------------------------------------------------------------- */

void tst_mem_delay(tth_link *link, int64_t delay_ns) {
  pthread_mutex_lock(&of(link)->net->lock);
  of(link)->delay_ns = delay_ns;
  pthread_mutex_unlock(&of(link)->net->lock);
}

void tst_mem_hold(tth_link *link, bool held) {
  pthread_mutex_lock(&of(link)->net->lock);
  if (of(link)->peer) of(link)->peer->held = held;
  pthread_cond_broadcast(&of(link)->net->changed);
  pthread_mutex_unlock(&of(link)->net->lock);
}

void tst_mem_hold_incoming(tth_link *link, bool held) {
  pthread_mutex_lock(&of(link)->net->lock);
  of(link)->held = held;
  pthread_cond_broadcast(&of(link)->net->changed);
  pthread_mutex_unlock(&of(link)->net->lock);
}

void tst_mem_room(tth_link *link, size_t bytes) {
  pthread_mutex_lock(&of(link)->net->lock);
  of(link)->room = bytes;
  room_locked(of(link));
  pthread_mutex_unlock(&of(link)->net->lock);
}

void tst_mem_break(tth_link *link) {
  pthread_mutex_lock(&of(link)->net->lock);
  end_locked(of(link), "connection lost");
  if (of(link)->peer) end_locked(of(link)->peer, "connection lost");
  pthread_mutex_unlock(&of(link)->net->lock);
}

void tst_mem_vanish(tth_link *link) {
  pthread_mutex_lock(&of(link)->net->lock);
  end_locked(of(link), "connection lost");
  if (of(link)->peer) of(link)->peer->held = true;
  pthread_mutex_unlock(&of(link)->net->lock);
}

tst_mem_stats tst_mem_stats_of(tth_link *link) {
  pthread_mutex_lock(&of(link)->net->lock);
  tst_mem_stats stats = of(link)->stats;
  pthread_mutex_unlock(&of(link)->net->lock);
  return stats;
}
