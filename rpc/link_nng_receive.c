/* The receiving side of a link. One receive is under way at a time, and whoever it has come to owns the receiving
 * chain: it alone reads what came, calls `received`, and begins the next receive. Who that is:
 *
 *   PUSH ──may_pull──> ARMED ──wait──> TAKEN ──may_pull──> ARMED
 *    ^                   │               │ not may_pull
 *    │ push, end,        │               │
 *    └── nobody waited ──┘<──────────────┘
 *
 *   PUSH    recv_aio is under way, or its callback runs on one of nng's threads
 *   ARMED   pull_aio, which has no callback, is under way or has ended: the chain is whose compare-and-swap takes it
 *   TAKEN   a thread in `wait` has the chain, or one that gives it back to recv_aio's callback
 *
 * An aio without a callback ends on nng's poller, which wakes the thread that waits for it: one thread less between the
 * socket and a caller that blocks. The price is that nobody looks while no such thread is there. So the owner says when
 * the next receive may be left to one (may_pull), whoever needs the link's own threads says so (push), and after
 * a while without a wait they take over by themselves (link_nng_lease.c).
 *
 * No thread can be missed: push, end, and a wait that comes too early set their word before they look for ARMED, and
 * whoever arms sets ARMED before it looks for their word. */
#include <limits.h>
#include <sched.h>

#include "rpc/link_nng_impl.h"
#include "rpc/real_time.h"

#define DRAIN_NS TETHER_SEC

/* How long a thread that waits looks before it sleeps, and how many waits in a row at most do without. */
#define LOOK_NS (100 * TETHER_US)
#define LOOK_SKIPS_MOST 63

/* ---- The next receive ----------------------------------------------------------------------- */

/* How long until `end_ns`, for nng. */
static nng_duration time_left(int64_t end_ns) {
  if (end_ns == TETHER_FOREVER) return NNG_DURATION_INFINITE;
  int64_t left_ms = (end_ns - tth_real_now_ns() - 1) / TETHER_MS + 1;
  if (left_ms > INT_MAX) return NNG_DURATION_INFINITE;
  return left_ms < 1 ? 1 : (nng_duration)left_ms;
}

/* Where the next receive may put its bytes. */
static bool receive_space(tth_nng_link *link, nng_iov *iov) {
  if (link->stage == TTH_NNG_GREETING) {
    *iov = (nng_iov){link->greeting + link->greeting_len, sizeof link->greeting - link->greeting_len};
    return true;
  }
  uint8_t *space;
  if (!tth_sp_reader_space(&link->reader, &space, &iov->iov_len)) return false;
  iov->iov_buf = space;
  return true;
}

/* Has recv_aio's callback go on with the receiving chain, from what pull_aio has brought. Under TAKEN. */
static void hand_over(tth_nng_link *link) {
  link->from_pull = true;
  if (nng_aio_begin(link->recv_aio)) nng_aio_finish(link->recv_aio, 0);
}

void tth_nng_push_back(tth_nng_link *link) {
  int armed = TTH_NNG_ARMED;
  if (!atomic_compare_exchange_strong(&link->pull, &armed, TTH_NNG_TAKEN)) return;
  nng_aio_abort(link->pull_aio, NNG_ECANCELED);
  nng_aio_wait(link->pull_aio); /* for the poller at most, which is just ending it */
  hand_over(link);
}

void tth_nng_push_now(tth_nng_link *link, int error) {
  if (!link->pull_aio) return;
  atomic_store(&link->want_push, true);
  tth_nng_push_back(link);
  nng_aio_abort(link->pull_aio, error); /* a thread waits for it */
}

/* Leaves what is under way to whoever takes it. Under a hold of the caller's own: the chain's may be gone. */
static void leave_armed(tth_nng_link *link) {
  atomic_store(&link->pull, TTH_NNG_ARMED);
  tth_nng_lease(link);
  if (atomic_load(&link->want_push) || atomic_load(&link->ending)) tth_nng_push_back(link);
}

/* The next receive is for who waits for it. The receiving chain's hold goes on. */
static void arm(tth_nng_link *link, const nng_iov *iov) {
  tth_nng_hold(link); /* ours */
  nng_aio_set_iov(link->pull_aio, 1, iov);
  nng_stream_recv(link->stream, link->pull_aio);
  leave_armed(link);
  tth_nng_drop(link);
}

/* Whether the next receive is left to a thread that waits. `led`: such a thread asks. */
static bool may_pull(tth_nng_link *link, bool led) {
  if (!link->pull_aio || link->stage != TTH_NNG_OPEN) return false;
  atomic_store(&link->want_push, false);
  return !atomic_load(&link->send_error) && link->events->may_pull(link->owner, led);
}

typedef enum next { BY_CALLBACK, AFTER_CALLBACK, AFTER_WAIT } next;

/* Begins the next receive. The receiving chain's hold goes on, or ends here. */
static void receive(tth_nng_link *link, next who) {
  nng_iov iov;
  bool draining = atomic_load(&link->send_error) != 0;
  if (draining && link->end_ns == TETHER_FOREVER) link->end_ns = tether_time_add(tth_real_now_ns(), DRAIN_NS);
  if (draining && tth_real_now_ns() >= link->end_ns) tth_nng_fail_with(link, "", atomic_load(&link->send_error));
  if (!receive_space(link, &iov)) tth_nng_fail(link, "out of memory for a message of %zu bytes", link->reader.want);
  if (atomic_load(&link->ending)) {
    tth_nng_drop(link);
    return;
  }
  if (who != BY_CALLBACK && may_pull(link, who == AFTER_WAIT)) {
    arm(link, &iov);
    return;
  }
  atomic_store(&link->pull, TTH_NNG_PUSH);
  nng_aio_set_timeout(link->recv_aio, time_left(link->end_ns));
  nng_aio_set_iov(link->recv_aio, 1, &iov);
  tth_nng_hold(link);
  nng_stream_recv(link->stream, link->recv_aio);
  tth_nng_look_again(link, link->recv_aio);
  if (!draining && atomic_load(&link->send_error) != 0) nng_aio_abort(link->recv_aio, NNG_ETIMEDOUT);
  tth_nng_drop(link);
}

void tth_nng_receive_first(tth_nng_link *link) { receive(link, BY_CALLBACK); }

/* ---- What has come -------------------------------------------------------------------------- */

/* Judges the peer's greeting as far as it has come. */
static void greeting_received(tth_nng_link *link, size_t count) {
  link->greeting_len += count;
  if (!tth_sp_greeting_fits(link->greeting, link->greeting_len)) {
    tth_nng_fail(link, "not an SP PAIR0 peer (%s)", tth_sp_describe(link->greeting, link->greeting_len));
    tth_nng_drop(link);
  } else if (link->greeting_len < sizeof link->greeting) {
    receive(link, BY_CALLBACK);
  } else {
    tth_nng_heard(link);
    tth_nng_drop(link);
  }
}

/* Takes the next whole message out of what has come. False: there is none, or the link has ended. */
static bool next_message(tth_nng_link *link, const uint8_t **message, uint64_t *len) {
  tth_sp_event event = atomic_load(&link->ending)
                           ? TTH_SP_MORE
                           : tth_sp_reader_next(&link->reader, TTH_LINK_NNG_RECEIVE_MAX, message, len);
  if (event == TTH_SP_TOO_LARGE)
    tth_nng_fail(link, "the peer announced a message of %llu bytes, above the limit of %zu", (unsigned long long)*len,
                 TTH_LINK_NNG_RECEIVE_MAX);
  if (event == TTH_SP_MALFORMED) tth_nng_end(link, 0, "the peer broke SP framing");
  return event == TTH_SP_MESSAGE;
}

static void bytes_received(tth_nng_link *link, size_t count, next who) {
  const uint8_t *message, *following = NULL;
  uint64_t len, following_len = 0;
  bool burst = false;
  tth_sp_reader_filled(&link->reader, count);
  for (bool is_one = next_message(link, &message, &len); is_one;) {
    bool more = next_message(link, &following, &following_len);
    if (more && !burst && link->events->burst) {
      link->events->burst(link->owner, true);
      burst = true;
    }
    link->events->received(link->owner, message, (size_t)len);
    is_one = more && !atomic_load(&link->ending);
    message = following;
    len = following_len;
  }
  if (burst) link->events->burst(link->owner, false);
  receive(link, who);
}

static void receive_failed(tth_nng_link *link, int error) {
  if (link->stage == TTH_NNG_OPEN && error == NNG_ETIMEDOUT && tth_real_now_ns() < link->end_ns) {
    receive(link, BY_CALLBACK); /* with a limit from now on, if a send has failed */
    return;
  }
  int send_error = atomic_load(&link->send_error);
  if (send_error)
    tth_nng_fail_with(link, "", send_error);
  else if (link->stage == TTH_NNG_OPEN)
    tth_nng_fail_with(link, "", error);
  else if (error == NNG_ETIMEDOUT)
    tth_nng_fail(link, "no greeting in time (%s)", tth_sp_describe(link->greeting, link->greeting_len));
  else if (link->greeting_len > 0)
    tth_nng_fail(link, "not an SP PAIR0 peer (%s)", tth_sp_describe(link->greeting, link->greeting_len));
  else
    tth_nng_fail_with(link, "no greeting: ", error);
  tth_nng_drop(link);
}

void tth_nng_receive_callback(void *arg) {
  tth_nng_link *link = arg;
  if (link->settling) {
    tth_nng_settle(link);
    return;
  }
  nng_aio *aio = link->from_pull ? link->pull_aio : link->recv_aio;
  int error = nng_aio_result(aio);
  size_t count = nng_aio_count(aio);
  bool pushed = link->from_pull && error == NNG_ECANCELED; /* nothing has come yet */
  link->from_pull = false;
  if (!error && count == 0) error = NNG_ECONNSHUT; /* how TLS reports the peer's close */
  if (pushed)
    receive(link, BY_CALLBACK);
  else if (error)
    receive_failed(link, error);
  else if (link->stage == TTH_NNG_GREETING)
    greeting_received(link, count);
  else
    bytes_received(link, count, AFTER_CALLBACK);
}

/* ---- Threads that wait ---------------------------------------------------------------------- */

/* Whether the armed receive has ended: nng has no question for that, but both are 0 until then. */
static bool seems_over(const tth_nng_link *link) {
  return nng_aio_count(link->pull_aio) > 0 || nng_aio_result(link->pull_aio) != 0;
}

/* Looks for the end of the receive a while before sleeping until it: waking costs more than most answers take, most of
 * all on a virtual processor that has gone idle meanwhile. Others who are ready run first. While it does not pay, it is
 * tried ever more rarely. */
static void look_for_a_while(tth_nng_link *link) {
  if (link->look_skips > 0) {
    link->look_skips--;
    return;
  }
  int64_t end_ns = tth_real_now_ns() + LOOK_NS;
  while (!seems_over(link) && tth_real_now_ns() < end_ns) sched_yield();
  unsigned skips = seems_over(link) ? 0 : 2 * link->look_losses + 1;
  link->look_skips = link->look_losses = skips < LOOK_SKIPS_MOST ? skips : LOOK_SKIPS_MOST;
}

/* Under TAKEN, with a hold of the caller's own: waits for the receive, and goes on from what has come. */
static tth_wait_result take(tth_nng_link *link) {
  if (link->look) look_for_a_while(link);
  nng_aio_wait(link->pull_aio);
  int error = nng_aio_result(link->pull_aio);
  size_t count = nng_aio_count(link->pull_aio);
  if (atomic_load(&link->ending) || (error && error != NNG_ECANCELED)) {
    hand_over(link); /* bad news is for nng's threads */
    return TTH_WAIT_END;
  }
  if (error)
    receive(link, AFTER_WAIT);
  else
    bytes_received(link, count, AFTER_WAIT);
  return TTH_WAIT_CAME;
}

static bool take_armed(tth_nng_link *link) {
  int armed = TTH_NNG_ARMED;
  if (!atomic_compare_exchange_strong(&link->pull, &armed, TTH_NNG_TAKEN)) return false;
  atomic_fetch_add(&link->waits, 1);
  return true;
}

/* What has come, if something has. */
static tth_wait_result look(tth_nng_link *link) {
  if (atomic_load(&link->pull) != TTH_NNG_ARMED) return TTH_WAIT_PUSHED;
  if (!seems_over(link)) return TTH_WAIT_NOTHING;
  if (!take_armed(link)) return TTH_WAIT_PUSHED;
  if (seems_over(link)) return take(link);
  leave_armed(link); /* somebody else has taken what there was, and armed again */
  return TTH_WAIT_NOTHING;
}

/* Under TAKEN. A poke sets its word before it ends what is under way; that end may have come to a thread that looks,
 * and the next receive been armed, before this one is here. */
static tth_wait_result take_unless_poked(tth_nng_link *link) {
  tth_wait_result result = TTH_WAIT_CAME;
  if (atomic_load(&link->poked))
    leave_armed(link);
  else
    result = take(link);
  if (atomic_load(&link->poked)) atomic_store(&link->poked, false); /* who waited looks for the reason after this */
  return result;
}

tth_wait_result tth_nng_wait(tth_link *base, bool block) {
  tth_nng_link *link = tth_nng_link_of(base);
  tth_wait_result result = TTH_WAIT_PUSHED;
  if (!link->pull_aio || !tth_nng_try_hold(link)) return result;
  if (!block) {
    result = look(link);
  } else if (take_armed(link)) {
    result = take_unless_poked(link);
  } else {
    atomic_store(&link->want_push, true); /* who is about to arm must know that nobody waits */
    if (take_armed(link)) result = take_unless_poked(link);
  }
  tth_nng_drop_quietly(link);
  return result;
}

void tth_nng_poke(tth_link *base) {
  tth_nng_link *link = tth_nng_link_of(base);
  if (!link->pull_aio || !tth_nng_try_hold(link)) return;
  atomic_store(&link->poked, true);
  nng_aio_abort(link->pull_aio, NNG_ECANCELED);
  tth_nng_drop_quietly(link);
}

void tth_nng_push(tth_link *base) {
  tth_nng_link *link = tth_nng_link_of(base);
  if (!link->pull_aio || !tth_nng_try_hold(link)) return;
  tth_nng_push_now(link, NNG_ECANCELED);
  tth_nng_drop_quietly(link);
}
