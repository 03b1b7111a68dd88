/* A call that its client's service config hedges: one tether_call that stands for the attempts, which are calls of
 * their own (hedge.c). It has a context, a group and a callback, and no stream; when an attempt's answer counts, it
 * takes that one's results over. */
#include "rpc/hedge.h"
#include "rpc/real_time.h"

tether_call *tth_hedge_call(tether_client *client, const tether_ctx *ctx, const tether_method *method,
                            const tth_method_config *config, const ProtobufCMessage *request,
                            const tether_call_options *options, tether_call_done_fn done, void *data) {
  tether_call *call = tth_call_new(TTH_CLIENT);
  if (!call) return NULL;
  call->method = method;
  call->path = method->path;
  call->c.client = client;
  call->c.done = done;
  call->c.done_data = data;
  call->c.started_ns = tether_now_ns();
  call->root = tth_client_derive(ctx, method, config, options);
  call->ctx = call->root;
  call->c.users = 2;
  call->c.gone = TTH_GONE_UNSENT;
  atomic_fetch_add(&client->calls, 1);
  tether_code code = options->group ? tether_group_join(options->group, &call->c.group_number) : TETHER_OK;
  if (code == TETHER_OK) {
    call->c.group = options->group;
    tth_hedge_start(call, &config->hedging, request, options);
  } else {
    tether_call *refused = tth_client_call_refused(method, code, "the group takes no more members");
    tth_client_call_adopt(call, refused);
    tether_call_unref(refused);
  }
  tth_client_call_let_go(call);
  return call;
}

void tth_client_call_adopt(tether_call *call, tether_call *answer) {
  if (!tth_call_try_end(call)) return; /* nobody else ends it */
  call->c.answer = tether_call_ref(answer);
  call->code = answer->code;
  call->cause = tether_cause_ref(answer->cause);
  call->reply = answer->reply;
  call->initial = answer->initial;
  call->trailers = answer->trailers;
  tth_conn *conn = answer->conn;
  if (conn) call->conn = tth_conn_ref(conn);
  tth_call_set_message(call, tether_call_message(answer));
  tth_client_call_publish(call);
}

tether_code tth_hedge_cancel_and_wait(tether_call *call, const tether_cause *cause, int64_t timeout_ns,
                                      uint32_t *running) {
  int64_t until_ns = tether_time_add(tth_real_now_ns(), timeout_ns);
  tth_hedge_will_wait(call->c.hedge, until_ns);
  tether_call_cancel(call, cause);
  tether_call_wait(call); /* from here on no attempt is being started */
  tether_code code = TETHER_OK;
  uint32_t sum = 0;
  tether_call *attempt;
  for (int i = 0; (attempt = tth_hedge_attempt(call->c.hedge, i)); i++) {
    uint32_t some = 0;
    tth_client_call_will_wait(attempt, timeout_ns); /* its end wakes this thread */
    tether_code gone = tth_client_call_wait_gone(attempt, until_ns, &some);
    if (code == TETHER_OK) code = gone;
    sum += some;
    tether_call_unref(attempt);
  }
  if (code == TETHER_OK) *running = sum;
  return code;
}
