/* cancel.c: one cancel request.
 *
 *   start --> thread: PQcancel (connects, sends the backend's key, waits until the server closes) --> state, descriptor
 *
 * The server closes that connection after it has sent the signal to the backend, so once PQcancel has returned the
 * signal is no longer on its way: it is pending, or has been handled, before the backend can read the next statement,
 * and PostgreSQL drops one that finds it between two statements. That is what makes reuse safe. A request whose end is
 * not seen makes the connection unsafe for ever; whoever forgets a request that is under way must give the connection
 * up.
 *
 * The request needs nothing of the connection (PQgetCancel copies), which may be closed meanwhile. It is held by its
 * thread and its starter. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "modules/pq/impl.h"

struct tth_pq_cancel {
  PGcancel *request;
  int fd;
  atomic_int state, holders;
};

static void release(tth_pq_cancel *cancel) {
  if (atomic_fetch_sub(&cancel->holders, 1) > 1) return;
  if (cancel->request) PQfreeCancel(cancel->request);
  if (cancel->fd >= 0) close(cancel->fd);
  free(cancel);
}

static void *run(void *data) {
  tth_pq_cancel *cancel = data;
  char why[256];
  const uint64_t one = 1;
  bool delivered = PQcancel(cancel->request, why, sizeof why) == 1;
  atomic_store(&cancel->state, delivered ? TTH_PQ_CANCEL_DELIVERED : TTH_PQ_CANCEL_FAILED);
  ssize_t written = write(cancel->fd, &one, sizeof one); /* cannot fail: the counter is 0 */
  (void)written;
  release(cancel);
  return NULL;
}

static bool start_thread(tth_pq_cancel *cancel) {
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = pthread_create(&thread, &attributes, run, cancel) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return started;
}

tth_pq_cancel *tth_pq_cancel_start(PGconn *conn) {
  tth_pq_cancel *cancel = malloc(sizeof *cancel);
  if (!cancel) return NULL;
  *cancel = (tth_pq_cancel){.request = PQgetCancel(conn), .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .holders = 2};
  if (cancel->request && cancel->fd >= 0 && start_thread(cancel)) return cancel;
  atomic_store(&cancel->holders, 1);
  release(cancel);
  return NULL;
}

int tth_pq_cancel_fd(const tth_pq_cancel *cancel) { return cancel->fd; }

tth_pq_cancel_state tth_pq_cancel_look(const tth_pq_cancel *cancel) {
  return (tth_pq_cancel_state)atomic_load(&((tth_pq_cancel *)cancel)->state);
}

void tth_pq_cancel_free(tth_pq_cancel *cancel) {
  if (cancel) release(cancel);
}
