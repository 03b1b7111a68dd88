/* Peers that drip, send garbage, never read, or flood, against a server process that others use meanwhile: every call
 * of those is answered, and the server's memory and descriptors stay bounded. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/ctx_test.h"
#include "tests/support/frames.h"
#include "tests/support/node.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define CALLS 2000
#define LORIS 40
#define SILENT 10

/* 4 MiB of replies and one more for each that reads nothing, and as much again for all else. They ask for four times as
 * much. */
#define GROWTH_BYTES_MOST (2L * SILENT * (5 << 20))

static char dir[64];
static struct node node;
static const Testing__V1__Request request = TESTING__V1__REQUEST__INIT;

static int setup(void **state) {
  char url[128];
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(dir)) return -1;
  snprintf(url, sizeof url, "ipc://%s/node", dir);
  if (!node_init(&node, "node", url)) return -1;
  node.small = true;
  return node_start(&node) ? 0 : -1;
}

static int teardown(void **state) {
  char path[128];
  (void)state;
  node_fini(&node);
  snprintf(path, sizeof path, "%s/node", dir);
  unlink(path);
  return rmdir(dir);
}

/* ---- Attackers, each a thread ---------------------------------------------------------------- */

static atomic_bool stop;
static atomic_int attacks; /* connections made */

static int connect_to_node(void) {
  int fd = raw_connect_ipc(node.url + strlen("ipc://"));
  if (fd >= 0) atomic_fetch_add(&attacks, 1);
  return fd;
}

/* Never blocks; false: the connection is gone or takes nothing now. */
static bool push(int fd, const void *bytes, size_t len) {
  return send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

/* A batch as ipc carries it. */
static size_t wrap(const tst_frames *frames, uint8_t *to) {
  to[0] = 1;
  for (int i = 0; i < 8; i++) to[1 + i] = (uint8_t)((uint64_t)frames->len >> (56 - 8 * i));
  memcpy(to + 9, frames->bytes, frames->len);
  return 9 + frames->len;
}

static bool say_hello(int fd) {
  uint8_t bytes[256];
  tst_frames frames = {0};
  tst_frames_hello(&frames, 0);
  bool said = push(fd, bytes, wrap(&frames, bytes));
  tst_frames_fini(&frames);
  return said;
}

static void nap(void) { usleep(2000); }

/* Half of them before the greeting is complete, half in the middle of a batch. */
static void *drip(void *data) {
  int fds[LORIS];
  (void)data;
  for (int i = 0; i < LORIS; i++) {
    fds[i] = connect_to_node();
    if (fds[i] >= 0 && i % 2 && raw_greet(fds[i]) && say_hello(fds[i])) (void)push(fds[i], "\1\0\0\0\0\0\4\0\0", 9);
  }
  for (int i = 0; !atomic_load(&stop); i++, nap()) (void)push(fds[i % LORIS], "", 1);
  for (int i = 0; i < LORIS; i++)
    if (fds[i] >= 0) close(fds[i]);
  return NULL;
}

static void *garbage(void *data) {
  uint8_t bytes[512];
  uint32_t random = 1;
  (void)data;
  for (int i = 0; !atomic_load(&stop); i++, nap()) {
    int fd = connect_to_node();
    for (size_t j = 0; j < sizeof bytes; j++) bytes[j] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
    if (fd < 0) continue;
    if (i % 3 == 0 && raw_greet(fd)) (void)say_hello(fd);
    if (i % 3 == 1) (void)push(fd, "GET / HTTP/1.1\r\n\r\n", 18);
    (void)push(fd, bytes, sizeof bytes);
    close(fd);
  }
  return NULL;
}

/* Calls with replies of almost 1 MiB that nobody reads. */
static void *read_nothing(void *data) {
  int fds[SILENT];
  static uint8_t bytes[4096];
  Testing__V1__Request asked = TESTING__V1__REQUEST__INIT;
  tst_frames frames = {0};
  (void)data;
  asked.reply_bytes = 1000000;
  for (uint32_t stream = 1; stream <= 40; stream++) {
    tst_frames_headers(&frames, stream, "/testing.v1.Echo/Quick", TETHER_FOREVER);
    tst_frames_add(&frames, TTH_MESSAGE, TTH_FLAG_END, stream, &asked.base);
  }
  size_t len = wrap(&frames, bytes);
  for (int i = 0; i < SILENT; i++) {
    fds[i] = connect_to_node();
    if (fds[i] >= 0 && raw_greet(fds[i]) && say_hello(fds[i])) (void)push(fds[i], bytes, len);
  }
  while (!atomic_load(&stop)) nap();
  for (int i = 0; i < SILENT; i++)
    if (fds[i] >= 0) close(fds[i]);
  tst_frames_fini(&frames);
  return NULL;
}

/* As fast as the server takes them: PINGs, or calls without end and beyond any limit. A new connection for each that is
 * cut off. */
static void *flood(void *data) {
  bool pings = data;
  static uint8_t bytes[2][65536];
  uint32_t stream = 0;
  int fd = -1;
  while (!atomic_load(&stop)) {
    tst_frames frames = {0};
    if (fd < 0) {
      stream = 0;
      fd = connect_to_node();
      if (fd < 0 || !raw_greet(fd) || !say_hello(fd)) nap();
      if (fd < 0) continue;
    }
    for (int i = 0; i < 100; i++) {
      if (pings)
        tst_frames_raw(&frames, TTH_PING, 0, 0, "12345678901234567890123456789012", 32);
      else
        tst_frames_headers(&frames, ++stream, "/testing.v1.Echo/Pooled", TETHER_FOREVER);
    }
    size_t len = wrap(&frames, bytes[pings]);
    bool sent = raw_write(fd, bytes[pings], len);
    tst_frames_fini(&frames);
    uint8_t heard[65536];
    ssize_t n = recv(fd, heard, sizeof heard, MSG_DONTWAIT);
    if (sent && n != 0) continue;
    close(fd);
    fd = -1;
  }
  if (fd >= 0) close(fd);
  return NULL;
}

/* ---- The others ------------------------------------------------------------------------------ */

static long resident_bytes(void) {
  char line[256];
  long kib = -1;
  snprintf(line, sizeof line, "/proc/%d/status", (int)node.pid);
  FILE *file = fopen(line, "re");
  assert_non_null(file);
  while (kib < 0 && fgets(line, sizeof line, file))
    if (strncmp(line, "VmRSS:", 6) == 0) kib = strtol(line + 6, NULL, 10);
  fclose(file);
  return kib * 1024;
}

static bool has_few_fds(void *data) { return node_fds(&node) <= *(int *)data; }

static void calls_of_others_are_answered_and_the_server_stays_small(void **state) {
  (void)state;
  tether_client *client;
  assert_int_equal(tether_client_open(node.url, NULL, &client), TETHER_OK);
  const tether_call_options options = {.wait_for_ready = true, .timeout_ns = RPC_TEST_BOUND_NS};
  long before = 0, most = 0;
  int fds = 0;
  pthread_t threads[5];
  for (int i = 0; i < CALLS; i++) {
    TETHER_SCOPED_CALL tether_call *call =
        i % 2 ? testing_v1_echo_client_pooled(client, tether_ctx_background(), &request, &options)
              : testing_v1_echo_client_quick(client, tether_ctx_background(), &request, &options);
    rpc_assert_code(call, TETHER_OK);
    if (i == CALLS / 10) {
      before = resident_bytes();
      fds = node_fds(&node) + 8; /* of a pool that has not started all */
      assert_int_equal(pthread_create(&threads[0], NULL, drip, NULL), 0);
      assert_int_equal(pthread_create(&threads[1], NULL, garbage, NULL), 0);
      assert_int_equal(pthread_create(&threads[2], NULL, read_nothing, NULL), 0);
      assert_int_equal(pthread_create(&threads[3], NULL, flood, (void *)1), 0);
      assert_int_equal(pthread_create(&threads[4], NULL, flood, NULL), 0);
    }
    if (i % 100 == 0 && before && resident_bytes() > most) most = resident_bytes();
  }
  atomic_store(&stop, true);
  for (int i = 0; i < 5; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  print_message("%d hostile connections; the server grew by %ld KiB at most\n", atomic_load(&attacks),
                (most - before) / 1024);
#if !defined(CTX_TEST_SANITIZED)
  assert_true(most - before <= GROWTH_BYTES_MOST);
#endif
  assert_true(tst_wait_until(has_few_fds, &fds, RPC_TEST_BOUND_NS));
  tether_client_close(client);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(calls_of_others_are_answered_and_the_server_stays_small, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
