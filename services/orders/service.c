#include "orders/service.h"

#include "common/log.h"

const orders_v1_orders_service orders_service_table = {
    .place_order = orders_place, .get_order = orders_get, .list_orders = orders_list, .report = orders_report};

tether_code orders_fail(const tether_ctx *ctx, tether_call *call, const tether_pq *pq, tether_code code) {
  svc_log line;
  bool stopped = code == tether_ctx_err(ctx);
  svc_log_begin(&line, stopped ? "query-stopped" : "query-failed", ctx);
  svc_log_text(&line, "method", tether_call_path(call));
  svc_log_outcome(&line, code, stopped ? tether_ctx_cause(ctx) : NULL);
  if (pq && *tether_pq_sqlstate(pq)) svc_log_text(&line, "sqlstate", tether_pq_sqlstate(pq));
  if (pq && !stopped) svc_log_text(&line, "message", tether_pq_message(pq));
  svc_log_end(&line);
  switch (code) {
    case TETHER_CANCELLED:
    case TETHER_DEADLINE_EXCEEDED:
      return code;
    case TETHER_UNAVAILABLE:
      return tether_call_fail(call, code, "the database cannot be reached");
    case TETHER_ABORTED:
      return tether_call_fail(call, code, "another change came in between; try again");
    case TETHER_RESOURCE_EXHAUSTED:
      return tether_call_fail(call, code, "the database has no room for this");
    default:
      return tether_call_fail(call, TETHER_INTERNAL, "the database refused a statement");
  }
}
