/* A CANCEL behind 100 MB: 25 uploads of 4 MiB are queued for another process, which is stopped meanwhile, when a call
 * is cancelled. Once it goes on, its handler learns that before the uploads are through; how long it takes, against an
 * idle connection, is printed. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/support/ctx_test.h"
#include "tests/support/rpc_test.h"
#include "tests/support/stream_node.h"
#include "tests/support/wait.h"

#define UPLOADS 25
#define ROUNDS CTX_TEST_ROUNDS(12)
#define LONG ((size_t)4 * 1024 * 1024 - 64)

static struct cancel {
  char dir[64];
  struct stream_node node;
  tether_client *client;
  tether_ctx *ctx;
  uint8_t *body;
  tether_call *uploads[UPLOADS];
  _Atomic int64_t done_ns; /* the last upload's end */
} c;

static int setup(void **state) {
  char url[128];
  (void)state;
  c = (struct cancel){.dir = "/tmp/tether-test-XXXXXX"};
  if (!mkdtemp(c.dir)) return -1;
  snprintf(url, sizeof url, "ipc://%s/s", c.dir);
  c.ctx = tether_ctx_with_timeout(tether_ctx_background(), 3 * RPC_TEST_BOUND_NS);
  c.body = calloc(1, LONG);
  return c.body && stream_node_open(&c.node, url) && tether_client_open(url, NULL, &c.client) == TETHER_OK &&
                 tether_client_wait_ready(c.client, c.ctx) == TETHER_OK
             ? 0
             : -1;
}

static int teardown(void **state) {
  char path[128];
  (void)state;
  tether_client_close(c.client);
  tether_ctx_free(c.ctx);
  stream_node_close(&c.node);
  free(c.body);
  snprintf(path, sizeof path, "%s/s", c.dir);
  unlink(path);
  return rmdir(c.dir);
}

static void note_end(tether_call *call, void *data) {
  (void)call, (void)data;
  atomic_store(&c.done_ns, tst_now_ns());
}

/* Starts the uploads; none of them blocks. */
static void start_uploads(bool streams) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = c.body, .len = LONG};
  request.reply_bytes = 1;
  for (int i = 0; i < UPLOADS; i++) {
    if (!streams) {
      c.uploads[i] = testing_v1_echo_client_pooled_start(c.client, c.ctx, &request, NULL, note_end, NULL);
      continue;
    }
    bool done = false;
    c.uploads[i] = testing_v1_echo_client_upload_start(c.client, c.ctx, NULL, note_end, NULL);
    assert_int_equal(testing_v1_echo_upload_try_send_request(c.uploads[i], &request, &done), TETHER_OK);
    assert_true(done);
    tether_call_close_send(c.uploads[i]);
  }
}

static void end_uploads(void) {
  for (int i = 0; i < UPLOADS; i++) {
    tether_call_wait(c.uploads[i]);
    rpc_assert_code(c.uploads[i], TETHER_OK);
    tether_call_unref(c.uploads[i]);
  }
}

typedef enum load { IDLE, CALLS, STREAMS, LOADS } load;

static bool is_stopped(void *data) {
  char path[64], line[256] = "";
  (void)data;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)c.node.pid);
  FILE *file = fopen(path, "r");
  if (file && !fgets(line, sizeof line, file)) line[0] = 0;
  if (file) fclose(file);
  const char *name_end = strrchr(line, ')');
  return name_end && name_end[1] && name_end[2] == 'T';
}

/* How long a cancel takes to its handler. */
static int64_t cancel_once(load beside) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  int before = atomic_load(&c.node.shared->cut[TETHER_CAUSE_CALLER]);
  TETHER_SCOPED_CALL tether_call *hanging =
      testing_v1_echo_client_hang_start(c.client, c.ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&c.node.shared->inside, 1));
  assert_int_equal(kill(c.node.pid, SIGSTOP), 0);
  assert_true(tst_wait_until(is_stopped, NULL, RPC_TEST_BOUND_NS));
  if (beside != IDLE) start_uploads(beside == STREAMS);
  tether_call_cancel(hanging, NULL);
  int64_t begin_ns = tst_now_ns();
  assert_int_equal(kill(c.node.pid, SIGCONT), 0);
  if (beside != IDLE) end_uploads();
  assert_true(rpc_wait_for(&c.node.shared->cut[TETHER_CAUSE_CALLER], before + 1));
  int64_t cut_ns = atomic_load(&c.node.shared->cut_ns);
  assert_true(cut_ns >= begin_ns);
  if (beside != IDLE) assert_true(cut_ns < atomic_load(&c.done_ns)); /* not behind all of it */
  assert_true(rpc_wait_for(&c.node.shared->inside, 0));
  return cut_ns - begin_ns;
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void a_cancel_passes_a_hundred_megabytes_of_uploads(void **state) {
  (void)state;
  static int64_t took_ns[LOADS][ROUNDS];
  for (int round = 0; round < ROUNDS; round++)
    for (int beside = 0; beside < LOADS; beside++) took_ns[beside][round] = cancel_once((load)beside);
  for (int beside = 0; beside < LOADS; beside++) qsort(took_ns[beside], ROUNDS, sizeof **took_ns, compare);
  double idle = (double)took_ns[IDLE][ROUNDS / 2], calls = (double)took_ns[CALLS][ROUNDS / 2],
         streams = (double)took_ns[STREAMS][ROUNDS / 2];
  print_message("a cancel: idle %.0f us; behind 100 MB of calls %.1f x (%.0f us), of streams %.1f x (%.0f us)\n",
                idle / 1000, calls / idle, calls / 1000, streams / idle, streams / 1000);
}

int main(int argc, char **argv) {
  stream_node_main(argc, argv, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_cancel_passes_a_hundred_megabytes_of_uploads, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
