/* The sending side of a link: one batch at a time, in two ways.
 *
 *   send_now ──all taken──> done          send, or the rest of a send_now ──callback──> `sent`
 *
 * nng tries the socket before nng_stream_send returns. On ipc and tcp an operation then either has moved bytes and
 * ended, or has moved none; so one that is aborted at once tells which, and one without a callback ends on this
 * thread: nobody else is woken. Errors are left to the operation with a callback, which meets them again. */
#include <string.h>

#include "rpc/link_nng_impl.h"

static size_t left(const tth_nng_link *link) { return link->left[0].iov_len + link->left[1].iov_len; }

/* Gives what is left to `aio`, and begins it. */
static void begin(tth_nng_link *link, nng_aio *aio) {
  unsigned first = link->left[0].iov_len == 0, pieces = link->left[1].iov_len == 0 ? 1 : 2;
  nng_aio_set_iov(aio, pieces - first, link->left + first);
  nng_stream_send(link->stream, aio);
}

void tth_nng_send_more(tth_nng_link *link, void (*drop_own)(tth_nng_link *link)) {
  if (atomic_load(&link->ending)) {
    drop_own(link);
    return;
  }
  tth_nng_hold(link);
  begin(link, link->send_aio);
  tth_nng_look_again(link, link->send_aio);
  drop_own(link);
}

static void sent_bytes(tth_nng_link *link, size_t count) {
  for (int i = 0; i < 2 && count > 0; i++) {
    size_t part = count < link->left[i].iov_len ? count : link->left[i].iov_len;
    link->left[i].iov_buf = (uint8_t *)link->left[i].iov_buf + part;
    link->left[i].iov_len -= part;
    count -= part;
  }
}

static void send_failed(tth_nng_link *link, int error) {
  if (link->stage == TTH_NNG_OPEN && !link->watch_aio) {
    atomic_store(&link->send_error, error);
    nng_aio_abort(link->recv_aio, NNG_ETIMEDOUT);
    tth_nng_push_now(link, NNG_ECANCELED);
  } else {
    tth_nng_fail_with(link, link->stage == TTH_NNG_GREETING ? "no greeting: " : "", error);
  }
  tth_nng_drop(link);
}

void tth_nng_send_callback(void *arg) {
  tth_nng_link *link = arg;
  int error = nng_aio_result(link->send_aio);
  if (error) {
    send_failed(link, error);
    return;
  }
  sent_bytes(link, nng_aio_count(link->send_aio));
  if (left(link) > 0) {
    tth_nng_send_more(link, tth_nng_drop);
    return;
  }
  if (link->stage == TTH_NNG_OPEN) link->events->sent(link->owner);
  tth_nng_drop(link);
}

/* Notes what is to be sent. */
static void prepare(tth_nng_link *link, const uint8_t *batch, size_t len) {
  size_t header = tth_sp_header_put(link->header, link->kind.ipc, len), joined = 0;
  if (link->join) {
    joined = len < TTH_NNG_JOIN_MAX - header ? len : TTH_NNG_JOIN_MAX - header;
    memcpy(link->join, link->header, header);
    memcpy(link->join + header, batch, joined);
  }
  link->left[0] = (nng_iov){link->join ? link->join : link->header, header + joined};
  link->left[1] = (nng_iov){(void *)(uintptr_t)(batch + joined), len - joined};
}

void tth_nng_send(tth_link *base, const uint8_t *batch, size_t len) {
  tth_nng_link *link = tth_nng_link_of(base);
  if (!tth_nng_try_hold(link)) return;
  prepare(link, batch, len);
  tth_nng_send_more(link, tth_nng_drop_quietly);
}

bool tth_nng_send_now(tth_link *base, const uint8_t *batch, size_t len) {
  tth_nng_link *link = tth_nng_link_of(base);
  if (!tth_nng_try_hold(link)) return false;
  prepare(link, batch, len);
  while (link->now_aio && left(link) > 0) {
    begin(link, link->now_aio);
    nng_aio_abort(link->now_aio, NNG_ECANCELED);
    nng_aio_wait(link->now_aio); /* for the poller at most, which is just ending it */
    if (nng_aio_result(link->now_aio) != 0) break;
    sent_bytes(link, nng_aio_count(link->now_aio));
  }
  bool all = left(link) == 0;
  if (all)
    tth_nng_drop_quietly(link);
  else
    tth_nng_send_more(link, tth_nng_drop_quietly);
  return all;
}
