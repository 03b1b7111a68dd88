/* tests/support/link_mem_impl.h: what the two files of the in-memory transport share. */
#ifndef TETHER_TESTS_LINK_MEM_IMPL_H
#define TETHER_TESTS_LINK_MEM_IMPL_H

#include <pthread.h>

#include "tests/support/link_mem.h"

typedef enum mem_kind { BATCH, SENT, CLOSED, ATTEMPT } mem_kind;

typedef struct mem_event {
  struct mem_event *next;
  mem_kind kind;
  bool local; /* not held up by a partition */
  int64_t due_ns;
  uint64_t number;
  const char *why; /* of a closed or a failed attempt */
  size_t len;
  uint8_t bytes[];
} mem_event;

typedef struct mem_queue {
  mem_event *first, *last;
} mem_queue;

typedef struct mem_link {
  tth_link base; /* first */
  tst_mem_net *net;
  struct mem_link *peer, *next;
  const tth_link_events *events;
  void *owner;
  mem_queue inbox, sents;
  int64_t delay_ns;       /* of what it sends */
  size_t room, under_way; /* of what it sends */
  bool started;
  bool held;    /* what comes in */
  bool sending; /* `sent` is to come */
  bool waiting; /* for room, with `sent` */
  bool ending;  /* its own closed is queued */
  bool closed;  /* and delivered */
  tst_mem_stats stats;
  const tst_mem_watch *watch; /* may be NULL */
  void *watch_data;
  char name[32];
} mem_link;

struct tth_dialer {
  tst_mem_net *net;
  struct tth_dialer *next;
  mem_queue attempt;
  char *name;
  void (*done)(void *owner, tth_link *link, const char *why);
  void *owner;
  int64_t end_ns;
  unsigned running; /* attempts whose done has not returned */
};

struct tth_listener {
  tst_mem_net *net;
  struct tth_listener *next;
  char *name;
  void (*accepted)(void *owner, tth_link *link);
  void *owner;
  unsigned calling; /* accepted calls running */
};

struct tst_mem_net {
  pthread_mutex_t lock; /* of everything */
  pthread_cond_t changed;
  mem_link *links;
  tth_dialer *dialers;
  tth_listener *listeners;
  uint64_t numbers, seed;
  int64_t now_ns; /* manual */
  bool manual, stopping, unreachable;
  pthread_t thread;
};

/* Ends the process. */
_Noreturn void tst_mem_misuse(const char *what);

/* Under the net's lock. */
int64_t tst_mem_now_locked(const tst_mem_net *net);
void tst_mem_push_locked(tst_mem_net *net, mem_queue *queue, mem_event *event, int64_t due_ns);
mem_event *tst_mem_pop_locked(mem_queue *queue);
mem_event *tst_mem_event_new(mem_kind kind, const void *bytes, size_t len);
void tst_mem_pair_locked(tst_mem_net *net, mem_link **a, mem_link **b);

/* Handles a dialer's attempt that has come up; gives the lock up and takes it again. */
void tst_mem_deliver_attempt_locked(tst_mem_net *net, tth_dialer *dialer);

/* Forgets `net` if it is the one in use. */
void tst_mem_net_unuse(tst_mem_net *net);

#endif
