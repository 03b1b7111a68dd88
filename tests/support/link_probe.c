#include "tests/support/link_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/certificates.h"

/* ---- Batches -------------------------------------------------------------------------------- */

static uint8_t byte_at(size_t i, uint32_t seq) {
  return i < 4 ? (uint8_t)(seq >> (8 * i)) : (uint8_t)(seq * 31 + i * 7 + (i >> 8));
}

void tst_batch_fill(uint8_t *batch, size_t len, uint32_t seq) {
  for (size_t i = 0; i < len; i++) batch[i] = byte_at(i, seq);
}

bool tst_batch_is(const uint8_t *batch, size_t len, uint32_t seq) {
  for (size_t i = 0; i < len; i++)
    if (batch[i] != byte_at(i, seq)) return false;
  return true;
}

/* ---- Probes --------------------------------------------------------------------------------- */

/* Whose send or close this thread is inside. */
static _Thread_local const tst_probe *calling;

static void complain(tst_probe *probe, const char *what) {
  const char *none = NULL;
  atomic_compare_exchange_strong(&probe->complaint, &none, what);
}

static void on_received(void *owner, const uint8_t *batch, size_t len) {
  tst_probe *probe = owner;
  if (atomic_fetch_add(&probe->inside, 1) != 0) complain(probe, "two received at once");
  if (atomic_load(&probe->over)) complain(probe, "received after closed");
  if (len == 0) complain(probe, "an empty batch");
  atomic_store(&probe->receiver, pthread_self());
  int64_t count = tst_counter_get(&probe->batches);
  if (!probe->unchecked && !tst_batch_is(batch, len, (uint32_t)count)) complain(probe, "a batch is not what was sent");
  if (probe->close_in_received) probe->link->ops->close(probe->link);
  tst_counter_add(&probe->bytes, (int64_t)len);
  tst_counter_add(&probe->batches, 1);
  if (probe->hold_open && !tst_latch_wait(probe->hold_open, TST_BOUND_NS)) complain(probe, "held too long");
  atomic_fetch_sub(&probe->inside, 1);
}

static void on_sent(void *owner) {
  tst_probe *probe = owner;
  if (atomic_load(&probe->over)) complain(probe, "sent after closed");
  tst_counter_add(&probe->sent, 1);
}

static void on_closed(void *owner, const char *why) {
  tst_probe *probe = owner;
  if (calling == probe) complain(probe, "closed from inside send or close");
  atomic_store(&probe->closer, pthread_self());
  if (atomic_load(&probe->inside) != 0) complain(probe, "closed beside received");
  if (atomic_exchange(&probe->over, true)) complain(probe, "closed twice");
  snprintf(probe->why, sizeof probe->why, "%s", why);
  if (probe->free_in_closed) {
    probe->link->ops->free(probe->link);
    probe->link = NULL;
  }
  tst_counter_add(&probe->closed, 1);
}

static void on_burst(void *owner, bool begins) {
  tst_probe *probe = owner;
  if (atomic_exchange(&probe->in_burst, begins) == begins) complain(probe, "bursts that overlap");
}

static bool on_may_pull(void *owner, bool led) {
  tst_probe *probe = owner;
  (void)led;
  if (atomic_load(&probe->over)) complain(probe, "may_pull after closed");
  return atomic_load(&probe->pulls);
}

static void on_unled(void *owner) { tst_counter_add(&((tst_probe *)owner)->unled, 1); }

static const tth_link_events probe_events = {
    .received = on_received,
    .sent = on_sent,
    .closed = on_closed,
    .burst = on_burst,
    .may_pull = on_may_pull,
    .unled = on_unled,
};

void tst_probe_init(tst_probe *probe) {
  memset(probe, 0, sizeof *probe);
  tst_counter_init(&probe->batches);
  tst_counter_init(&probe->bytes);
  tst_counter_init(&probe->sent);
  tst_counter_init(&probe->closed);
  tst_counter_init(&probe->unled);
}

void tst_probe_fini(tst_probe *probe) {
  if (probe->link) probe->link->ops->free(probe->link);
  free(probe->out);
  tst_counter_fini(&probe->batches);
  tst_counter_fini(&probe->bytes);
  tst_counter_fini(&probe->sent);
  tst_counter_fini(&probe->closed);
  tst_counter_fini(&probe->unled);
}

void tst_probe_start(tst_probe *probe, tth_link *link) {
  probe->link = link;
  link->ops->start(link, &probe_events, probe);
}

void tst_probe_send(tst_probe *probe, size_t len) {
  uint8_t *out = realloc(probe->out, len);
  if (!out) {
    complain(probe, "no memory for a batch");
    return;
  }
  probe->out = out;
  tst_batch_fill(out, len, probe->out_seq++);
  const tth_link_ops *ops = probe->link->ops;
  calling = probe;
  if (!probe->at_once || !ops->send_now || probe->out_seq % 2 == 0)
    ops->send(probe->link, out, len);
  else if (ops->send_now(probe->link, out, len))
    tst_counter_add(&probe->sent, 1);
  calling = NULL;
}

bool tst_probe_send_all(tst_probe *probe, unsigned count, size_t len) {
  int64_t sent = tst_counter_get(&probe->sent);
  for (unsigned i = 0; i < count; i++) {
    tst_probe_send(probe, len);
    if (!tst_counter_wait(&probe->sent, ++sent, TST_BOUND_NS)) return false;
  }
  return true;
}

void tst_probe_close(tst_probe *probe) {
  calling = probe;
  probe->link->ops->close(probe->link);
  calling = NULL;
}

bool tst_probe_end(tst_probe *probe) {
  if (tst_counter_get(&probe->closed) == 0) tst_probe_close(probe);
  return tst_counter_wait(&probe->closed, 1, TST_BOUND_NS);
}

/* ---- Getting links -------------------------------------------------------------------------- */

static void on_accepted(void *owner, tth_link *link) {
  tst_acceptor *acceptor = owner;
  pthread_mutex_lock(&acceptor->lock);
  acceptor->links[tst_counter_get(&acceptor->accepted)] = link;
  tst_counter_add(&acceptor->accepted, 1);
  pthread_mutex_unlock(&acceptor->lock);
}

tether_code tst_acceptor_open(tst_acceptor *acceptor, const tth_transport *transport, const char *url,
                              const tether_tls *tls) {
  memset(acceptor, 0, sizeof *acceptor);
  acceptor->transport = transport;
  tst_counter_init(&acceptor->accepted);
  pthread_mutex_init(&acceptor->lock, NULL);
  tth_tls *shared;
  if (!tst_tls_open(tls, false, &shared)) return TETHER_INVALID_ARGUMENT;
  tether_code code = transport->listen(url, shared, on_accepted, acceptor, &acceptor->listener);
  tth_tls_unref(shared);
  return code;
}

void tst_acceptor_close(tst_acceptor *acceptor) {
  if (acceptor->listener) acceptor->transport->listener_free(acceptor->listener);
  for (size_t i = acceptor->taken; i < (size_t)tst_counter_get(&acceptor->accepted); i++)
    acceptor->links[i]->ops->free(acceptor->links[i]);
  pthread_mutex_destroy(&acceptor->lock);
  tst_counter_fini(&acceptor->accepted);
}

tth_link *tst_acceptor_take(tst_acceptor *acceptor) {
  if (!tst_counter_wait(&acceptor->accepted, (int64_t)acceptor->taken + 1, TST_BOUND_NS)) return NULL;
  pthread_mutex_lock(&acceptor->lock);
  tth_link *link = acceptor->links[acceptor->taken++];
  pthread_mutex_unlock(&acceptor->lock);
  return link;
}

typedef struct attempt {
  tst_latch done;
  tth_link *link;
  char why[TST_WHY_SIZE];
} attempt;

static void on_done(void *owner, tth_link *link, const char *why) {
  attempt *made = owner;
  made->link = link;
  if (why) snprintf(made->why, sizeof made->why, "%s", why);
  tst_latch_open(&made->done);
}

tth_link *tst_dial(tth_dialer *dialer, int64_t timeout_ns, const tth_transport *transport, char *why) {
  attempt made = {.link = NULL};
  tst_latch_init(&made.done);
  transport->dial(dialer, timeout_ns, on_done, &made);
  if (!tst_latch_wait(&made.done, TST_BOUND_NS + timeout_ns)) abort(); /* its callback would write to this frame */
  tst_latch_fini(&made.done);
  if (why) memcpy(why, made.why, sizeof made.why);
  return made.link;
}

const char *tst_connect(const tth_transport *transport, const char *url, const tether_tls *client_tls,
                        const tether_tls *server_tls, tst_probe *client, tst_probe *server) {
  static char why[TST_WHY_SIZE];
  char at[256];
  tst_acceptor acceptor;
  tth_dialer *dialer;
  const char *failure = NULL;
  snprintf(at, sizeof at, "%s", url);
  if (tst_acceptor_open(&acceptor, transport, url, server_tls) != TETHER_OK) {
    tst_acceptor_close(&acceptor);
    return "cannot listen";
  }
  uint16_t port = transport->listener_port(acceptor.listener);
  const char *zero = strstr(url, ":0");
  if (port && zero) snprintf(at, sizeof at, "%.*s:%u%s", (int)(zero - url), url, port, zero + 2);
  tth_tls *shared;
  bool made = tst_tls_open(client_tls, true, &shared) && transport->dialer_new(at, shared, &dialer) == TETHER_OK;
  tth_tls_unref(shared);
  if (!made) {
    tst_acceptor_close(&acceptor);
    return "no dialer";
  }
  tth_link *ours = tst_dial(dialer, TST_BOUND_NS, transport, why), *theirs = NULL;
  if (!ours) failure = why;
  if (ours && !(theirs = tst_acceptor_take(&acceptor))) failure = "not accepted";
  if (!failure) {
    tst_probe_start(client, ours);
    tst_probe_start(server, theirs);
  } else if (ours) {
    ours->ops->free(ours);
  }
  transport->dialer_free(dialer);
  tst_acceptor_close(&acceptor);
  return failure;
}
