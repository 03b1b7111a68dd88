/* Attempts to connect that are given up for their time, one directly after the other, over and over: each ends once,
 * with a reason and without a link, and the first that finds somebody connects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <tether/rpc.h>
#include <unistd.h>

#include "rpc/link_nng.h"
#include "tests/support/wait.h"

enum { ATTEMPTS = 2000, FILLERS = 8 };

/* A listener that takes no more connections: what comes when its queue is full is not answered. */
struct deaf {
  int fd, fillers[FILLERS];
  char url[64];
};

static void deaf_open(struct deaf *deaf) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t len = sizeof address;
  deaf->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(deaf->fd, (struct sockaddr *)&address, len), 0);
  assert_int_equal(listen(deaf->fd, 0), 0);
  assert_int_equal(getsockname(deaf->fd, (struct sockaddr *)&address, &len), 0);
  snprintf(deaf->url, sizeof deaf->url, "tcp://127.0.0.1:%u", ntohs(address.sin_port));
  for (int i = 0; i < FILLERS; i++) {
    deaf->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)connect(deaf->fillers[i], (struct sockaddr *)&address, len);
  }
}

static void deaf_close(struct deaf *deaf) {
  for (int i = 0; i < FILLERS; i++) close(deaf->fillers[i]);
  close(deaf->fd);
}

struct attempts {
  tth_dialer *dialer;
  tst_counter ended;
  atomic_int with_link, timed_out, other;
  atomic_int left;
};

static void again(void *owner, tth_link *link, const char *why) {
  struct attempts *a = owner;
  if (link) {
    atomic_fetch_add(&a->with_link, 1);
    link->ops->free(link);
  } else if (strcmp(why, "timed out") == 0) {
    atomic_fetch_add(&a->timed_out, 1);
  } else if (strncmp(why, "no greeting in time", strlen("no greeting in time")) != 0) {
    atomic_fetch_add(&a->other, 1); /* a full queue sometimes takes a connection that nobody will ever see */
  }
  if (atomic_fetch_sub(&a->left, 1) > 1) tth_nng_dial(a->dialer, TETHER_MS, again, a);
  tst_counter_add(&a->ended, 1);
}

static void each_attempt_ends_once_and_without_a_link(void **state) {
  struct deaf deaf;
  struct attempts a = {.left = ATTEMPTS};
  (void)state;
  deaf_open(&deaf);
  tst_counter_init(&a.ended);
  assert_int_equal(tth_nng_dialer_new(deaf.url, NULL, &a.dialer), TETHER_OK);
  tth_nng_dial(a.dialer, TETHER_MS, again, &a);
  assert_true(tst_counter_wait(&a.ended, ATTEMPTS, 6 * TST_BOUND_NS));
  tth_nng_dialer_free(a.dialer);
  assert_int_equal(tst_counter_get(&a.ended), ATTEMPTS);
  assert_int_equal(atomic_load(&a.with_link), 0);
  assert_int_equal(atomic_load(&a.other), 0);
  assert_true(atomic_load(&a.timed_out) > 0);
  tst_counter_fini(&a.ended);
  deaf_close(&deaf);
}

static void a_dialer_can_be_freed_in_the_middle(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++) {
    struct deaf deaf;
    struct attempts a = {.left = ATTEMPTS};
    deaf_open(&deaf);
    tst_counter_init(&a.ended);
    assert_int_equal(tth_nng_dialer_new(deaf.url, NULL, &a.dialer), TETHER_OK);
    tth_nng_dial(a.dialer, TETHER_MS, again, &a);
    assert_true(tst_counter_wait(&a.ended, 1 + round, 6 * TST_BOUND_NS));
    atomic_store(&a.left, 1);
    tth_nng_dialer_free(a.dialer);
    tst_counter_fini(&a.ended);
    deaf_close(&deaf);
  }
}

/* The same port, now with a server: what a client sees when a host comes back. */
static void a_client_connects_as_soon_as_somebody_is_there(void **state) {
  const tether_client_options quick = {
      .connect_timeout_ns = 20 * TETHER_MS, .backoff_initial_ns = 1, .backoff_max_ns = 1};
  struct deaf deaf;
  tether_client *client;
  tether_server *server;
  (void)state;
  deaf_open(&deaf);
  assert_int_equal(tether_client_open(deaf.url, &quick, &client), TETHER_OK);
  TETHER_SCOPED tether_ctx *little = tether_ctx_with_timeout(tether_ctx_background(), 200 * TETHER_MS);
  assert_int_equal(tether_client_wait_ready(client, little), TETHER_DEADLINE_EXCEEDED);
  deaf_close(&deaf);
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  assert_int_equal(tether_server_listen(server, deaf.url), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TST_BOUND_NS);
  assert_int_equal(tether_client_wait_ready(client, ctx), TETHER_OK);
  tether_client_close(client);
  tether_server_close(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_attempt_ends_once_and_without_a_link),
      cmocka_unit_test(a_dialer_can_be_freed_in_the_middle),
      cmocka_unit_test(a_client_connects_as_soon_as_somebody_is_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
