/* Where the time of a client's call went: what its end says of that, to its caller in words and to the ledger of the
 * handler that made it in a row.
 *
 * Happy path: a call that ended well, and that nobody asks about, costs a look. Else its times are taken as it ends;
 * the ledger (rpc/ledger.c) is built from them and from what came with TRAILERS, once somebody reads it. A deadline
 * says which phase on which hop took most: from the ledger if the server has answered, else from where the call was.
 * Failures: without memory the message is empty, or a row is missing. */
#include <stdio.h>

#include "rpc/cause_wire.h"
#include "rpc/client_call.h"
#include "rpc/hedge.h"
#include "rpc/retrying.h"

/* ---- Times --------------------------------------------------------------------------------- */

int64_t tth_client_call_retried_ns(const tether_call *call, tether_code *before) {
  const struct tth_retrying *r = call->c.retrying;
  if (!r || r->backoff_count == 0) return 0;
  *before = r->last_code;
  return (atomic_load(&r->waiting) ? call->c.ended_ns : r->attempt_ns) - call->c.started_ns;
}

/* Of the time that the call, now at its end, has waited until `until_ns`: how long there was no address to send it to.
 */
static int64_t resolving_ns(const tether_call *call, int64_t until_ns) {
  const struct tth_retrying *r = call->c.retrying;
  int64_t known_ns = call->c.client ? atomic_load(&call->c.client->addresses.known_ns) : 0;
  if (known_ns == 0 || (r && atomic_load(&r->waiting))) return 0;
  int64_t from_ns = r && r->backoff_count > 0 ? r->attempt_ns : call->c.started_ns;
  if (known_ns > until_ns) known_ns = until_ns;
  return known_ns > from_ns ? known_ns - from_ns : 0;
}

/* ---- Rows ---------------------------------------------------------------------------------- */

/* What the handler that made the call notes of it. */
static void note(tether_call *call) {
  Tether__V1__Leg leg = TETHER__V1__LEG__INIT;
  Tether__V1__Cause cause = TETHER__V1__CAUSE__INIT;
  leg.method = (char *)call->path;
  leg.peer = (char *)tth_call_hop(call);
  leg.has_started_ns = leg.has_took_ns = leg.has_waited_ns = leg.has_code = true;
  leg.started_ns = call->c.started_ns;
  leg.took_ns = call->c.ended_ns - call->c.started_ns;
  leg.waited_ns = call->c.left_ns ? call->c.left_ns - call->c.started_ns : leg.took_ns;
  leg.has_unconnected = leg.unconnected = !call->conn && tth_client_call_attempts(call) == 0;
  leg.code = call->code;
  tether_code before = TETHER_OK;
  leg.retried_ns = tth_client_call_retried_ns(call, &before);
  leg.has_retried_ns = leg.has_before = leg.has_attempts = leg.retried_ns > 0;
  leg.before = before;
  leg.resolving_ns = call->c.resolving_ns;
  leg.has_resolving_ns = leg.resolving_ns > 0;
  leg.attempts = tth_client_call_attempts(call);
  if (call->cause) {
    tth_cause_to_wire(call->cause, &cause);
    leg.cause = &cause;
  }
  leg.has_hop = call->c.hop.data != NULL;
  leg.hop = call->c.hop;
  call->c.row = tth_recorder_call_ended(call->c.recorder, &leg);
}

/* The end as the ledger sees it: before the results are published. */
static void close_ledger(tether_call *call) {
  if (call->code == TETHER_OK && !call->c.explain && !call->c.recorder) return;
  call->c.ended_ns = tether_now_ns();
  if (call->c.opened && call->c.left_ns == 0 && atomic_load(&call->c.gone) != TTH_GONE_UNSENT)
    call->c.left_ns = call->c.started_ns; /* its stream went with the connection */
  call->c.resolving_ns = resolving_ns(call, call->c.left_ns ? call->c.left_ns : call->c.ended_ns);
}

void tth_client_call_record(tether_call *call) {
  if (call->c.ended_ns == 0) close_ledger(call);
  if (call->c.recorder) note(call);
}

/* ---- Attempts ------------------------------------------------------------------------------ */

unsigned tth_client_call_attempts(const tether_call *call) {
  if (!call->c.client) return 0; /* it ended before it began */
  if (call->c.hedge) return tth_hedge_attempts(call->c.hedge);
  unsigned earlier = call->c.retrying ? atomic_load(&call->c.retrying->left) : 0;
  return earlier + (atomic_load(&call->c.gone) != TTH_GONE_UNSENT);
}

unsigned tether_call_attempts(const tether_call *call) {
  return call->role == TTH_CLIENT ? tth_client_call_attempts(call) : 0;
}

/* ---- Words --------------------------------------------------------------------------------- */

/* What there was before the last attempt, or the wait for it. */
static void say_attempts(const tether_call *call, char *text, size_t size) {
  const struct tth_retrying *r = call->c.retrying;
  *text = 0;
  if (r && r->backoff_count > 0)
    snprintf(text, size, "; attempt %d ended %s: %s", r->attempts.made, tether_code_name(r->last_code),
             r->last_message);
}

/* Where the time of a call went that ran out of it. */
static void say_where(tether_call *call, int64_t took_ns, tether_phase phase, int64_t spent_ns, const char *method,
                      const char *hop) {
  char message[896], attempts[256];
  say_attempts(call, attempts, sizeof attempts);
  snprintf(message, sizeof message, "deadline exceeded after %lld ms, %lld ms of it %s (%s at %s)%s",
           (long long)(took_ns / TETHER_MS), (long long)(spent_ns / TETHER_MS), tether_phase_text(phase), method, hop,
           attempts);
  tth_call_set_message(call, message);
}

/* The longest of the phases that a call has been in before it was sent; after the last, which it may be in yet. */
static tether_phase longest_wait(const tether_call *call, tether_phase last, int64_t *spent_ns) {
  tether_code before;
  int64_t waited_ns = *spent_ns, known_ns = resolving_ns(call, call->c.started_ns + waited_ns);
  int64_t retried_ns = tth_client_call_retried_ns(call, &before), rest_ns = waited_ns - retried_ns - known_ns;
  if (retried_ns > known_ns && retried_ns > rest_ns) {
    *spent_ns = retried_ns < waited_ns ? retried_ns : waited_ns;
    return TETHER_PHASE_RETRYING;
  }
  *spent_ns = known_ns > rest_ns ? known_ns : rest_ns;
  return known_ns > rest_ns ? TETHER_PHASE_RESOLVING : last;
}

int64_t tth_client_call_late_ns(const tether_call *call, int64_t at_ns) {
  int64_t deadline_ns = call->root ? tether_ctx_deadline_ns(call->root) : TETHER_FOREVER;
  return at_ns > deadline_ns ? at_ns - deadline_ns : 0;
}

void tth_client_call_explain_unanswered(tether_call *call, tether_phase phase) {
  int64_t now_ns = tether_now_ns(), took_ns = now_ns - call->c.started_ns;
  int64_t spent_ns = took_ns - tth_client_call_late_ns(call, now_ns); /* of the time it had */
  if (phase == TETHER_PHASE_NONE) {
    bool between = call->c.retrying && atomic_load(&call->c.retrying->waiting);
    char message[512], attempts[256];
    say_attempts(call, attempts, sizeof attempts);
    snprintf(message, sizeof message, "deadline exceeded after %lld ms, %s%s", (long long)(took_ns / TETHER_MS),
             between ? "while it waited to be tried again" : "before the call was sent", attempts);
    tth_call_set_message(call, message);
    return;
  }
  if (phase == TETHER_PHASE_WAITING) {
    int64_t waited_ns = call->c.left_ns - call->c.started_ns;
    tether_phase before = longest_wait(call, TETHER_PHASE_QUEUED_HERE, &waited_ns);
    spent_ns -= call->c.left_ns - call->c.started_ns;
    if (waited_ns > spent_ns) {
      spent_ns = waited_ns;
      phase = before;
    }
  } else {
    phase = longest_wait(call, phase, &spent_ns);
  }
  say_where(call, took_ns, phase, spent_ns, call->path,
            *tth_call_hop(call) ? tth_call_hop(call) : call->c.client->target);
}

void tth_client_call_explain(tether_call *call) {
  close_ledger(call);
  const tether_ledger *ledger = call->c.hop.data ? tth_call_ledger(call) : NULL, *row;
  if (!ledger) return;
  tether_phase phase;
  int64_t spent_ns;
  tether_ledger_blame(ledger, &row, &phase, &spent_ns);
  say_where(call, ledger->took_ns, phase, spent_ns, row->method, *row->hop ? row->hop : "no server");
}
