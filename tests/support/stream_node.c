#include "tests/support/stream_node.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/echo_stream.h"
#include "tests/support/wait.h"

#define SERVE "--serve"
#define OTHER "--other"
#define NEVER UINT64_MAX

extern char **environ;

/* ---- Handlers ------------------------------------------------------------------------------ */

static void enter(struct stream_shared *shared) {
  atomic_fetch_add(&shared->entered, 1);
  atomic_fetch_add(&shared->inside, 1);
}

static void leave(struct stream_shared *shared, const tether_ctx *ctx) {
  if (tether_ctx_err(ctx) != TETHER_OK) {
    atomic_store(&shared->cut_ns, tether_now_ns());
    atomic_fetch_add(&shared->cut[tether_cause_get_code(tether_ctx_cause(ctx))], 1);
  }
  atomic_fetch_sub(&shared->inside, 1);
}

static uint64_t asked(tether_call *call, const char *key) {
  const char *value = tether_metadata_get(tether_call_metadata(call), key, NULL);
  return value ? strtoull(value, NULL, 10) : NEVER;
}

/* Waits until `bytes` may have been read. */
static tether_code pace(const tether_ctx *ctx, int64_t begin_ns, uint64_t rate, uint64_t bytes) {
  if (rate == NEVER) return TETHER_OK;
  int64_t due_ns = begin_ns + (int64_t)(bytes * (uint64_t)TETHER_MS / rate * 1000);
  int64_t now_ns = tether_now_ns();
  return now_ns < due_ns ? tether_ctx_sleep(ctx, due_ns - now_ns) : TETHER_OK;
}

static tether_code upload(const tether_ctx *ctx, tether_call *call, Testing__V1__Reply *reply, void *data) {
  struct stream_shared *shared = data;
  const Testing__V1__Request *request = NULL;
  uint64_t rate = asked(call, "x-rate"), most = asked(call, "x-answer-after"), bytes = 0;
  int64_t begin_ns = tether_now_ns();
  enter(shared);
  tether_code code = rate == 0 ? tether_ctx_wait(ctx, TETHER_FOREVER) : TETHER_OK;
  while (code == TETHER_OK && reply->count < most) {
    code = testing_v1_echo_upload_recv_request(call, &request);
    if (code != TETHER_OK || !request) break;
    bytes += request->body.len;
    reply->count++;
    atomic_fetch_add(&shared->read_bytes, request->body.len);
    code = pace(ctx, begin_ns, rate, bytes);
  }
  if (code == TETHER_OK && !request) atomic_fetch_add(&shared->clean_ends, 1);
  leave(shared, ctx);
  return code;
}

static tether_code flood(const tether_ctx *ctx, tether_call *call, uint32_t bytes, uint32_t count,
                         struct stream_shared *shared) {
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  reply.body = (ProtobufCBinaryData){.data = malloc(bytes + 1), .len = bytes};
  if (!reply.body.data) return TETHER_RESOURCE_EXHAUSTED;
  memset(reply.body.data, 'd', bytes);
  enter(shared);
  tether_code code = TETHER_OK;
  for (; code == TETHER_OK && (count == 0 || reply.count < count); reply.count++) {
    code = tether_call_send(call, &reply.base);
    if (code == TETHER_OK) atomic_fetch_add(&shared->sent_bytes, bytes);
  }
  leave(shared, ctx);
  free(reply.body.data);
  return code;
}

static tether_code download(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request, void *data) {
  return flood(ctx, call, request->reply_bytes, request->width, data);
}

static tether_code only_write(const tether_ctx *ctx, tether_call *call, void *data) {
  return flood(ctx, call, 10000, 0, data);
}

static tether_code quick(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                         Testing__V1__Reply *reply, void *data) {
  (void)data;
  return echo_fill(ctx, call, request, reply);
}

static tether_code chat(const tether_ctx *ctx, tether_call *call, void *data) {
  static struct echo_stats stats;
  (void)data;
  return echo_chat(ctx, call, &stats);
}

static tether_code hang(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                        Testing__V1__Reply *reply, void *data) {
  (void)call, (void)request, (void)reply;
  enter(data);
  tether_code code = tether_ctx_wait(ctx, TETHER_FOREVER);
  leave(data, ctx);
  return code;
}

/* ---- The process --------------------------------------------------------------------------- */

static int serve(const char *url, int fd) {
  static const testing_v1_echo_service service = {.quick = quick,
                                                  .pooled = quick,
                                                  .chat = chat,
                                                  .upload = upload,
                                                  .download = download,
                                                  .later_chat = only_write,
                                                  .hang = hang};
  struct stream_shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const tether_server_options options = {.max_workers = 256};
  tether_server *server;
  if (shared == MAP_FAILED) return 2;
  close(fd);
  if (tether_server_open(&options, &server) != TETHER_OK ||
      testing_v1_echo_register(server, &service, shared) != TETHER_OK)
    return 3;
  if (tether_server_listen(server, url) != TETHER_OK) return 4;
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_BLOCK, &terminate, NULL);
  atomic_store(&shared->port, tether_server_port(server));
  atomic_store(&shared->ready, 1);
  int signal_number;
  sigwait(&terminate, &signal_number);
  tether_server_close(server);
  return 0;
}

void stream_node_main(int argc, char **argv, void (*other)(const char *url)) {
  if (argc < 2) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlive a test that crashed */
  if (argc == 4 && strcmp(argv[1], SERVE) == 0) exit(serve(argv[2], atoi(argv[3])));
  if (argc == 3 && strcmp(argv[1], OTHER) == 0 && other) {
    other(argv[2]);
    exit(0);
  }
}

/* ---- At the test --------------------------------------------------------------------------- */

static pid_t start(char *const argv[]) {
  pid_t pid;
  errno = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ);
  return errno ? -1 : pid;
}

static bool is_ready(void *data) { return atomic_load(&((struct stream_shared *)data)->ready); }

bool stream_node_start(struct stream_node *node) {
  char fd[16];
  char *argv[] = {(char *)"stream-node", (char *)SERVE, node->url, fd, NULL};
  snprintf(fd, sizeof fd, "%d", node->fd);
  atomic_store(&node->shared->ready, 0);
  atomic_store(&node->shared->inside, 0);
  node->pid = start(argv);
  if (node->pid < 0 || !tst_wait_until(is_ready, node->shared, TST_BOUND_NS)) return false;
  if (atomic_load(&node->shared->port) > 0)
    snprintf(node->url, sizeof node->url, "tcp://127.0.0.1:%d", atomic_load(&node->shared->port));
  return true;
}

bool stream_node_open(struct stream_node *node, const char *url) {
  *node = (struct stream_node){.fd = memfd_create("stream-node", 0)}; /* inherited by the process */
  snprintf(node->url, sizeof node->url, "%s", url);
  if (node->fd < 0 || ftruncate(node->fd, sizeof *node->shared) != 0) return false;
  node->shared = mmap(NULL, sizeof *node->shared, PROT_READ | PROT_WRITE, MAP_SHARED, node->fd, 0);
  return node->shared != MAP_FAILED && stream_node_start(node);
}

pid_t stream_node_other(const struct stream_node *node) {
  char *argv[] = {(char *)"stream-node", (char *)OTHER, (char *)node->url, NULL};
  return start(argv);
}

void stream_node_kill(pid_t *pid, int signal_number) {
  int status;
  if (*pid <= 0) return;
  kill(*pid, signal_number);
  while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) continue;
  *pid = 0;
}

void stream_node_close(struct stream_node *node) {
  stream_node_kill(&node->pid, SIGKILL);
  if (node->shared && node->shared != MAP_FAILED) munmap(node->shared, sizeof *node->shared);
  if (node->fd >= 0) close(node->fd);
}

size_t stream_node_memory(pid_t pid) {
  char path[64], line[256];
  size_t kib = 0;
  snprintf(path, sizeof path, pid ? "/proc/%d/status" : "/proc/self/status", (int)pid);
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "RssAnon: %zu kB", &kib) == 1) break;
  if (file) fclose(file);
  return kib * 1024;
}

tether_metadata *stream_node_metadata(const char *key, unsigned long value) {
  char text[32];
  tether_metadata *metadata = tether_metadata_new();
  snprintf(text, sizeof text, "%lu", value);
  if (metadata && tether_metadata_add(metadata, key, text) == TETHER_OK) return metadata;
  tether_metadata_free(metadata);
  return NULL;
}
