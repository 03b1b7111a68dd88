/* Strangers that fail often: listeners then accept in rounds, and who greets is served between them. */
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/link_nng.h"
#include "tests/support/link_test.h"

static int setup(void **state) {
  if (link_setup(state) != 0) return -1;
  link_fixture *f = *state;
  if (tst_acceptor_open(&f->on_ipc, nng, f->ipc_url, NULL) != TETHER_OK) return -1;
  return link_listen_tcp(f) ? 0 : -1;
}

static int teardown(void **state) {
  link_fixture *f = *state;
  tst_acceptor_close(&f->on_ipc);
  tst_acceptor_close(&f->on_tcp);
  return link_teardown(state);
}

/* One that speaks, or not, and leaves at once. */
static bool fail_once(link_fixture *f, bool ipc, int how) {
  int fd = ipc ? raw_connect_ipc(f->ipc_path) : raw_connect_tcp(f->port);
  if (fd < 0) return false;
  bool said = how % 3 == 0 ? raw_write(fd, "GET / HTTP/1.1\r\n\r\n", 18) : how % 3 == 2 || raw_write(fd, "\0SP\0", 4);
  close(fd);
  return said;
}

/* Until accepting goes in rounds; it does so for two seconds then. */
static void fail_often(link_fixture *f, bool ipc) {
  for (int i = 0; i < 100; i++) assert_true(fail_once(f, ipc, 3 * i));
  int fd = ipc ? raw_connect_ipc(f->ipc_path) : raw_connect_tcp(f->port);
  assert_true(fd >= 0 && raw_write(fd, "x", 1) && raw_is_closed(fd)); /* behind all of them */
  close(fd);
}

static void assert_served(link_fixture *f, bool ipc, bool in_pieces) {
  static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, 0x10, 0, 0};
  uint8_t theirs[8];
  int fd = ipc ? raw_connect_ipc(f->ipc_path) : raw_connect_tcp(f->port);
  assert_true(fd >= 0);
  if (in_pieces) { /* ours comes while theirs is not complete */
    assert_true(raw_write(fd, greeting, 3));
    assert_true(raw_read(fd, theirs, sizeof theirs));
    assert_true(raw_write(fd, greeting + 3, 5));
  } else {
    assert_true(raw_greet(fd));
  }
  tth_link *link = tst_acceptor_take(ipc ? &f->on_ipc : &f->on_tcp);
  assert_non_null(link);
  link->ops->free(link);
  close(fd);
}

static void who_greets_between_strangers_that_fail_often_is_served(void **state) {
  link_fixture *f = *state;
  for (int ipc = 0; ipc < 2; ipc++) {
    fail_often(f, ipc);
    for (size_t i = 0; i < 4; i++) assert_served(f, ipc, i % 2);
  }
}

typedef struct flood {
  link_fixture *f;
  atomic_bool stop;
  _Atomic unsigned failed;
} flood;

static void *flood_with_failures(void *data) {
  flood *under_way = data;
  for (int i = 0; !atomic_load(&under_way->stop); i++)
    if (fail_once(under_way->f, true, i)) atomic_fetch_add(&under_way->failed, 1);
  return NULL;
}

/* As fast as they can; they take their turns with who greets. */
static void a_flood_of_strangers_that_fail_delays_who_greets_for_a_moment_only(void **state) {
  flood under_way = {.f = *state};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, flood_with_failures, &under_way), 0);
  for (unsigned i = 0; i < 10; i++) {
    while (atomic_load(&under_way.failed) < 100 * i) sched_yield();
    int64_t start_ns = tst_now_ns();
    assert_served(under_way.f, true, false);
    assert_true(tst_now_ns() - start_ns < 5 * TETHER_SEC);
  }
  atomic_store(&under_way.stop, true);
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  print_message("%u strangers\n", atomic_load(&under_way.failed));
}

/* In the middle of a round or between two. */
static void freeing_a_listener_ends_its_rounds(void **state) {
  link_fixture *f = *state;
  for (int i = 0; i < 10; i++) {
    fail_often(f, true);
    for (int j = 0; j < 10 * i; j++) assert_true(fail_once(f, true, j));
    tst_acceptor_close(&f->on_ipc);
    assert_true(raw_connect_ipc(f->ipc_path) < 0);
    assert_int_equal(tst_acceptor_open(&f->on_ipc, nng, f->ipc_url, NULL), TETHER_OK);
  }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(who_greets_between_strangers_that_fail_often_is_served),
      CASE(a_flood_of_strangers_that_fail_delays_who_greets_for_a_moment_only),
      CASE(freeing_a_listener_ends_its_rounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
