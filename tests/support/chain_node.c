#include "tests/support/chain_node.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tether/interceptor.h>
#include <unistd.h>

#include "tests/support/wait.h"

#define SERVE "--chain-node"

extern char **environ;

/* ---- Values -------------------------------------------------------------------------------- */

static void *copy_text(const void *value) { return strdup(value); }

static size_t encode_text(const void *value, uint8_t *buf, size_t size) {
  size_t len = strlen(value);
  if (len <= size) memcpy(buf, value, len);
  return len;
}

static void *decode_text(const uint8_t *bytes, size_t len) { return strndup((const char *)bytes, len); }

#define TEXT_KEY(variable, text, policy) \
  static const tether_key variable = {   \
      .name = text, .copy = copy_text, .free = free, .forward = policy, .encode = encode_text, .decode = decode_text}

TEXT_KEY(key_local, "x-local", TETHER_FORWARD_LOCAL);
TEXT_KEY(key_one_hop, "x-one-hop", TETHER_FORWARD_ONE_HOP);
TEXT_KEY(key_all, "x-all", TETHER_FORWARD_ALL);
TEXT_KEY(key_unknown, "x-unknown-to-some", TETHER_FORWARD_ALL);
TEXT_KEY(key_secret, "x-secret", TETHER_FORWARD_SECRET);

const tether_key *const chain_keys[CHAIN_KEYS + 1] = {&key_local, &key_one_hop, &key_all, &key_unknown, &key_secret};
static const tether_key *const fewer_keys[] = {&key_local, &key_one_hop, &key_all, &key_secret, NULL};

/* Of what is noted: of calls at once the last one counts, whole. */
static pthread_mutex_t note_mu = PTHREAD_MUTEX_INITIALIZER;

static void note_values(struct chain_shared *shared, const tether_ctx *ctx) {
  pthread_mutex_lock(&note_mu);
  for (int i = 0; i < CHAIN_KEYS; i++) {
    const char *value = tether_ctx_value(ctx, chain_keys[i]);
    snprintf(shared->seen[i], sizeof shared->seen[i], "%s", value ? value : "-");
  }
  pthread_mutex_unlock(&note_mu);
}

/* What a handler can say of its end. */
static void note_end(struct chain_shared *shared, const tether_ctx *ctx) {
  const tether_cause *cause = tether_ctx_cause(ctx);
  if (!cause) return;
  pthread_mutex_lock(&note_mu);
  snprintf(shared->why, sizeof shared->why, "%s, from %s: %s", tether_cause_code_name(tether_cause_get_code(cause)),
           tether_cause_origin(cause), tether_cause_text(cause));
  pthread_mutex_unlock(&note_mu);
  atomic_fetch_add(&shared->cut, 1);
}

/* When calls of Pass come, leave for the next hop, and end. */
static struct chain_shared *here; /* NULL: not a node */

static bool passes(tether_call *call) { return strcmp(tether_call_path(call), testing_v1_chain_pass_method.path) == 0; }

static tether_code note_begin(void *data, tether_call *call, void **state) {
  (void)data, (void)state;
  if (passes(call)) atomic_store(tether_call_is_server(call) ? &here->arrived_ns : &here->asked_ns, tst_now_ns());
  return TETHER_OK;
}

static void note_answer(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  (void)data, (void)summary, (void)state;
  if (passes(call) && tether_call_is_server(call)) atomic_store(&here->ended_ns, tst_now_ns());
}

static const tether_interceptor noting = {.begin = note_begin, .end = note_answer};
static const tether_interceptor *const interceptors[] = {&noting, NULL};

/* ---- Calling on ---------------------------------------------------------------------------- */

#define CLIENTS_MOST 256

static struct {
  pthread_mutex_t mu;
  size_t count;
  struct {
    char url[128];
    tether_client *client;
  } of[CLIENTS_MOST];
} clients = {.mu = PTHREAD_MUTEX_INITIALIZER};

static tether_client *client_for(const char *url) {
  const tether_client_options quick = {.backoff_initial_ns = 5 * TETHER_MS,
                                       .backoff_max_ns = 20 * TETHER_MS,
                                       .interceptors = here ? interceptors : NULL};
  tether_client *client = NULL;
  pthread_mutex_lock(&clients.mu);
  for (size_t i = 0; i < clients.count && !client; i++)
    if (strcmp(clients.of[i].url, url) == 0) client = clients.of[i].client;
  if (!client && clients.count < CLIENTS_MOST && tether_client_open(url, &quick, &client) == TETHER_OK) {
    snprintf(clients.of[clients.count].url, sizeof clients.of->url, "%s", url);
    clients.of[clients.count++].client = client;
  }
  pthread_mutex_unlock(&clients.mu);
  if (!client) abort();
  return client;
}

void chain_close_clients(void) {
  for (size_t i = 0; i < clients.count; i++) tether_client_close(clients.of[i].client);
  clients.count = 0;
}

tether_call *chain_pass(const tether_ctx *ctx, const Testing__V1__Step *step, bool explain) {
  tether_client *client = client_for(step->url);
  const tether_call_options options = {.wait_for_ready = true, .explain = explain};
  TETHER_SCOPED tether_ctx *hold = tether_ctx_with_cancel(tether_ctx_background());
  TETHER_SCOPED_CALL tether_call *holder = NULL;
  if (step->behind) /* on the same connection, so it is there first */
    holder = testing_v1_chain_client_hold_start(client, hold, step, &options, NULL, NULL);
  tether_call *call = testing_v1_chain_client_pass(client, ctx, step, &options);
  uint32_t running;
  bool gone = !holder || tether_call_cancel_and_wait(holder, NULL, TST_BOUND_NS, &running) == TETHER_OK;
  if (!gone) fprintf(stderr, "%s: what held the place is still there\n", step->url);
  return call;
}

/* ---- The process --------------------------------------------------------------------------- */

static tether_code pass(const tether_ctx *ctx, tether_call *call, const Testing__V1__Step *step,
                        Testing__V1__Passed *reply, void *data) {
  struct chain_shared *shared = data;
  (void)reply;
  atomic_store(&shared->entered_ns, tst_now_ns());
  atomic_fetch_add(&shared->inside, 1);
  note_values(shared, ctx);
  tether_code code = TETHER_OK;
  if (step->work_ns != 0) code = tether_ctx_sleep(ctx, step->work_ns < 0 ? TETHER_FOREVER : step->work_ns);
  if (code == TETHER_OK && step->then) {
    TETHER_SCOPED_CALL tether_call *below = chain_pass(ctx, step->then, false);
    code = tether_call_code(below);
    tether_call_set_cause(call, tether_call_cause(below));
  }
  note_end(shared, ctx);
  atomic_fetch_add(&shared->passed, 1);
  atomic_fetch_sub(&shared->inside, 1);
  return code;
}

static tether_code hold(const tether_ctx *ctx, tether_call *call, const Testing__V1__Step *step,
                        Testing__V1__Passed *reply, void *data) {
  (void)call, (void)step, (void)reply, (void)data;
  return tether_ctx_wait(ctx, TETHER_FOREVER);
}

static bool serve_at(const char *url, const char *ending, const tether_server_options *options,
                     struct chain_shared *shared) {
  static const testing_v1_chain_service service = {.pass = pass, .hold = hold};
  tether_server *server; /* until the process ends */
  char whole[160];
  snprintf(whole, sizeof whole, "%s%s", url, ending);
  return tether_server_open(options, &server) == TETHER_OK &&
         testing_v1_chain_register(server, &service, shared) == TETHER_OK &&
         tether_server_listen(server, whole) == TETHER_OK;
}

static int serve(const char *url, int fd, unsigned like) {
  struct chain_shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED) return 2;
  close(fd);
  here = shared;
  tether_origin_set(shared->name);
  tether_server_options wide = {
      .max_workers = 256, .interceptors = interceptors, .keys = like & CHAIN_KNOWS_LESS ? fewer_keys : chain_keys};
  if (like & CHAIN_SMALL_BUDGET) wide.limits.max_forward_bytes = CHAIN_BUDGET;
  const tether_server_options narrow = {.max_workers = 1, .interceptors = interceptors},
                              single = {.limits = {.max_streams = 1}, .interceptors = interceptors};
  if (!serve_at(url, CHAIN_WIDE, &wide, shared) || !serve_at(url, CHAIN_NARROW, &narrow, shared) ||
      !serve_at(url, CHAIN_SINGLE, &single, shared))
    return 3;
  atomic_store(&shared->ready, 1);
  for (;;) pause(); /* until it is killed */
}

void chain_node_main(int argc, char **argv) {
  if (argc != 5 || strcmp(argv[1], SERVE) != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlive a test that crashed */
  exit(serve(argv[2], atoi(argv[3]), (unsigned)atoi(argv[4])));
}

/* ---- At the test --------------------------------------------------------------------------- */

static bool is_ready(void *data) { return atomic_load(&((struct chain_shared *)data)->ready); }

bool chain_node_start(struct chain_node *node) {
  char fd[16], like[16];
  char *argv[] = {(char *)"chain-node", (char *)SERVE, node->url, fd, like, NULL};
  snprintf(fd, sizeof fd, "%d", node->fd);
  snprintf(like, sizeof like, "%u", node->like);
  atomic_store(&node->shared->ready, 0);
  atomic_store(&node->shared->inside, 0); /* what it counted as running does not run any more */
  errno = posix_spawn(&node->pid, "/proc/self/exe", NULL, NULL, argv, environ);
  return errno == 0 && tst_wait_until(is_ready, node->shared, TST_BOUND_NS);
}

bool chain_node_open(struct chain_node *node, const char *dir, const char *name, unsigned like) {
  *node = (struct chain_node){.fd = memfd_create("chain-node", 0), .like = like}; /* inherited by the process */
  snprintf(node->url, sizeof node->url, "ipc://%s/%s", dir, name);
  if (node->fd < 0 || ftruncate(node->fd, sizeof *node->shared) != 0) return false;
  node->shared = mmap(NULL, sizeof *node->shared, PROT_READ | PROT_WRITE, MAP_SHARED, node->fd, 0);
  if (node->shared == MAP_FAILED) return false;
  snprintf(node->shared->name, sizeof node->shared->name, "%s", name);
  return chain_node_start(node);
}

void chain_node_kill(struct chain_node *node) {
  int status;
  if (node->pid <= 0) return;
  kill(node->pid, SIGKILL);
  while (waitpid(node->pid, &status, 0) < 0 && errno == EINTR) continue;
  node->pid = 0;
}

void chain_node_close(struct chain_node *node) {
  chain_node_kill(node);
  if (node->shared && node->shared != MAP_FAILED) munmap(node->shared, sizeof *node->shared);
  if (node->fd >= 0) close(node->fd);
}
