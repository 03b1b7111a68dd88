/* tests/support/mem_names.h: the resolver in the test's place: it answers when told to, on the test's thread. */
#ifndef TETHER_TESTS_MEM_NAMES_H
#define TETHER_TESTS_MEM_NAMES_H

#include "rpc/resolver.h"

typedef struct tst_names {
  tth_resolved_fn resolved;
  void *owner;
  int asked, open;
  bool asking;
  char scheme[16], host[64], port[16];
} tst_names;

extern tst_names tst_names_now; /* of the test that runs, which clears it */

extern const tth_resolver_ops tst_resolver_mem;

/* Answers with these addresses, "ab": mem://a and mem://b; "": there are none ("no such name"). */
void tst_names_answer(const char *which);

#endif
