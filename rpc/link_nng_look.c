/* The first look at a stranger, on the thread that has just accepted it: what it has said already is read and judged,
 * and our greeting sent, without waking another thread. Who has said something else, or has left, is closed here and
 * has cost neither a link nor one of nng's task threads.
 *
 * That matters most on ipc. From the accept on nng 1.5.2 has its poller told of a hang-up, again and again, until the
 * first receive that finds nothing, or the close: a peer that speaks and leaves at once keeps the poller, through which
 * all others get their bytes, turning for as long as the thread that is to look at that peer waits for a processor.
 * Under load that was 200 to 1400 turns for each, 0.3 to 1.3 ms of processor time; so the look is the first thing done,
 * and link_nng_listen.c sees to it that many are looked at in a row.
 *
 * An operation that is aborted at once has either ended or done nothing, as in link_nng_send.c; what has not ended is
 * left to the link. Not over TLS and ws, where that does not hold. */
#include <nng/nng.h>
#include <stdio.h>

#include "rpc/link_nng.h"
#include "rpc/sp.h"

/* Ends an operation with an aio without a callback: nng's error, NNG_ECANCELED if it has done nothing. */
static int end_now(nng_aio *aio, size_t *count) {
  nng_aio_abort(aio, NNG_ECANCELED);
  nng_aio_wait(aio); /* for the poller at most, which is just ending it */
  *count = nng_aio_count(aio);
  return nng_aio_result(aio);
}

static bool is_wrong(tth_nng_look *look, const char *what, const char *why) {
  snprintf(look->why, sizeof look->why, "%s%s", what, why);
  return false;
}

bool tth_nng_look_at(nng_stream *stream, nng_aio *aio, tth_nng_look *look) {
  nng_iov theirs = {look->greeting, sizeof look->greeting};
  nng_iov ours = {(void *)(uintptr_t)tth_sp_greeting, sizeof tth_sp_greeting};
  size_t count;
  nng_aio_set_iov(aio, 1, &theirs);
  nng_stream_recv(stream, aio);
  int error = end_now(aio, &count);
  look->unheard = error == NNG_ECONNSHUT || error == NNG_ECONNRESET || error == NNG_ECLOSED;
  if (error && error != NNG_ECANCELED) return is_wrong(look, "no greeting: ", tth_nng_why(error));
  if (!error) look->len = count;
  if (!tth_sp_greeting_fits(look->greeting, look->len)) {
    char what[TTH_NNG_LOOK_WHY];
    snprintf(what, sizeof what, "not an SP PAIR0 peer (%s)", tth_sp_describe(look->greeting, look->len));
    return is_wrong(look, what, "");
  }
  nng_aio_set_iov(aio, 1, &ours);
  nng_stream_send(stream, aio);
  error = end_now(aio, &count);
  if (error && error != NNG_ECANCELED) return is_wrong(look, "no greeting: ", tth_nng_why(error));
  if (!error) look->said = count;
  return true;
}
