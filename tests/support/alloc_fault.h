/* Allocations that fail on demand, for programs linked with ld's --wrap of malloc, calloc, realloc, strdup, strndup and
 * vasprintf; and the transport in memory (link_mem.h), whose own memory is always there. Allocations are counted over
 * all threads, those of exempt ones aside. */
#ifndef TETHER_TESTS_ALLOC_FAULT_H
#define TETHER_TESTS_ALLOC_FAULT_H

#include "rpc/link.h"

/* Starts counting from 0; the allocations from number `from` on fail, `count` of them. */
void tst_alloc_fail(int from, int count);

/* How many there have been since. */
int tst_alloc_count(void);

/* Sets whether this thread's allocations are let through, and returns whether they were. */
bool tst_alloc_exempt(bool yes);

/* tst_transport_mem; what it calls back counts again. One server and one client at a time. */
extern const tth_transport tst_transport_alloc;

#endif
