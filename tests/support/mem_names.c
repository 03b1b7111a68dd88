#include "tests/support/mem_names.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/mem_bank.h"
#include "tests/support/rpc_test.h"

tst_names tst_names_now;

static tst_names *const names = &tst_names_now;

static tether_code names_open(const char *scheme, const char *host, const char *port, tth_resolved_fn resolved,
                              void *owner, tth_resolver **resolver) {
  snprintf(names->scheme, sizeof names->scheme, "%s", scheme);
  snprintf(names->host, sizeof names->host, "%s", host);
  snprintf(names->port, sizeof names->port, "%s", port);
  names->resolved = resolved;
  names->owner = owner;
  names->open++;
  *resolver = (tth_resolver *)(void *)names;
  return TETHER_OK;
}

static bool names_resolve(tth_resolver *resolver) {
  (void)resolver;
  assert_false(names->asking);
  names->asked++;
  names->asking = true;
  return true;
}

static void names_close(tth_resolver *resolver) {
  (void)resolver;
  names->open--;
}

const tth_resolver_ops tst_resolver_mem = {.open = names_open, .resolve = names_resolve, .close = names_close};

void tst_names_answer(const char *which) {
  char urls[TST_BANK_MOST][8], *addresses[TST_BANK_MOST];
  size_t count = strlen(which);
  assert_true(names->asking);
  names->asking = false;
  for (size_t i = 0; i < count; i++) {
    snprintf(urls[i], sizeof urls[i], "mem://%c", which[i]);
    addresses[i] = urls[i];
  }
  names->resolved(names->owner, addresses, count, "no such name");
  tst_bank_pump();
}
