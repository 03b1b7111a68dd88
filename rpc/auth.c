#include <stdlib.h>
#include <string.h>
#include <tether/auth.h>

static void *copy_text(const void *text) { return strdup(text); }

/* Never leaves the process, and its name is not printed. */
static const tether_key principal_key = {
    .name = "principal", .copy = copy_text, .free = free, .forward = TETHER_FORWARD_SECRET};

static tether_code on_begin(void *data, tether_call *call, void **state) {
  const tether_auth *auth = data;
  char principal[TETHER_PRINCIPAL_SIZE] = "";
  (void)state;
  if (!tether_call_is_server(call)) return TETHER_OK;
  tether_code code = auth->check(auth->data, call, principal);
  principal[sizeof principal - 1] = '\0';
  if (code == TETHER_UNAUTHENTICATED) return tether_call_fail(call, code, "the caller is not known");
  if (code != TETHER_OK) return tether_call_fail(call, code, "the caller may not do this");
  return *principal ? tether_call_set_value(call, &principal_key, principal) : TETHER_OK;
}

void tether_auth_init(tether_auth *auth, tether_auth_fn check, void *data) {
  *auth = (tether_auth){.interceptor = {.begin = on_begin, .data = auth}, .check = check, .data = data};
}

const char *tether_principal(const tether_ctx *ctx) { return tether_ctx_value(ctx, &principal_key); }
