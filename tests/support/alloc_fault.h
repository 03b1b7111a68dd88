/* Allocations that fail on demand, for programs linked with ld's --wrap of malloc, calloc, realloc, strdup, strndup and
 * vasprintf; and the transport in memory (link_mem.h), whose own memory is always there. Allocations are counted over
 * all threads, those of exempt ones aside. */
#ifndef TETHER_TESTS_ALLOC_FAULT_H
#define TETHER_TESTS_ALLOC_FAULT_H

#include "tests/support/link_mem.h"

/* Starts counting from 0; the allocations from number `from` on fail, `count` of them. */
void tst_alloc_fail(int from, int count);

/* How many there have been since. */
int tst_alloc_count(void);

/* Sets whether this thread's allocations are let through, and returns whether they were. */
bool tst_alloc_exempt(bool yes);

/* What is lived again and again while its allocations fail. `begin` and `end` have all memory; NULL: there is none. */
typedef struct tst_alloc_life {
  void (*begin)(void);
  void (*live)(void);
  void (*end)(void);
  int step;  /* 0: every allocation fails once; else every so manieth */
  int least; /* so many allocations the life has: with fewer the test would show nothing */
} tst_alloc_life;

/* Lives with allocation 0, 1, 2 ... and the `count` - 1 after it failing, up to one that is not made any more. Returns
 * how many there are. On the test's thread. */
int tst_alloc_fail_each(const tst_alloc_life *life, int count);

/* One of them, three in a row, all from one on. */
void tst_alloc_fail_every_way(const tst_alloc_life *life);

/* tst_transport_mem; what it calls back counts again. One server and one client at a time. */
extern const tth_transport tst_transport_alloc;

/* tst_link_mem_advance to now, for that transport. */
void tst_alloc_deliver(tst_mem_net *net);

#endif
