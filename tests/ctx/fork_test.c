/* Across fork (rule 7): in the child, contexts made before are over and every function on them returns;
 * the parent notices nothing; the child can make contexts of its own. */
#include <fcntl.h>
#include <tether/group.h>
#include <tether/pool.h>

#include "tests/support/ctx_child.h"
#include "tests/support/ctx_thread.h"

/* One of each kind, some told, some polled, some ended before the fork. */
enum { KINDS = 9 };

struct heirloom {
  tether_ctx *all[KINDS];
  tether_ctx *ended;
  tether_cause *cause;
  struct ctx_call call;
  int fd;
};

static void heirloom_open(struct heirloom *h) {
  memset(h, 0, sizeof *h);
  h->all[0] = tether_ctx_with_cancel(tether_ctx_background());
  h->all[1] = tether_ctx_with_cancel(h->all[0]);
  h->all[2] = tether_ctx_with_timeout(h->all[1], CTX_TEST_HOUR);
  h->all[3] = tether_ctx_with_value(h->all[2], ctx_key_user(), "ada");
  h->all[4] = tether_ctx_merge(h->all[1], h->all[3]);
  h->all[5] = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR); /* only polled */
  h->all[6] = tether_ctx_with_cancel(h->all[5]);                               /* only polled */
  h->all[7] = tether_ctx_with_value(tether_ctx_background(), ctx_key_trace(), "t1");
  h->all[8] = tether_ctx_without_cancel(h->all[3]);
  h->cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, "load");
  h->ended = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_cancel_cause(h->ended, h->cause);
  ctx_call_after(&h->call, h->all[2], NULL);
  assert_code(tether_ctx_done_fd(h->all[2], &h->fd), TETHER_OK);
  assert_true(ctx_wait_all_blocked(1)); /* ASan allocates when a thread starts: see `allocating` below */
}

static void heirloom_close(struct heirloom *h) {
  tether_after_stop_wait(&h->call.after);
  for (int i = KINDS - 1; i >= 0; i--) tether_ctx_free(h->all[i]);
  tether_ctx_free(h->ended);
  tether_cause_unref(h->cause);
}

static void child_looks(void *data) {
  struct heirloom *h = data;
  char text[256];
  for (int i = 0; i < 7; i++) { /* those that can end */
    const tether_ctx *ctx = h->all[i];
    int fd = -7;
    child_expect(tether_ctx_err(ctx) == TETHER_CANCELLED);
    child_expect(tether_ctx_cause(ctx) != NULL);
    child_expect(strlen(tether_cause_text(tether_ctx_cause(ctx))) > 0);
    child_expect(tether_ctx_cause(ctx) == tether_ctx_cause(ctx));
    child_expect(tether_ctx_wait(ctx, TETHER_FOREVER) == TETHER_CANCELLED);
    child_expect(tether_ctx_sleep(ctx, CTX_TEST_HOUR) == TETHER_CANCELLED);
    child_expect(tether_ctx_poll_timeout_ms(ctx) == 0);
    child_expect(tether_ctx_done_fd(ctx, &fd) == TETHER_FAILED_PRECONDITION && fd == -7);
    child_expect(tether_ctx_text(ctx, text, sizeof text) > 0);
  }
  child_expect(tether_ctx_err(h->ended) == TETHER_CANCELLED);
  child_expect(tether_ctx_cause(h->ended) == h->cause); /* had ended before, and says so */
  child_expect(strcmp(tether_ctx_value(h->all[4], ctx_key_user()), "ada") == 0);
  child_expect(strcmp(tether_ctx_value(h->all[7], ctx_key_trace()), "t1") == 0);
  child_expect(tether_ctx_err(tether_ctx_background()) == TETHER_OK);
}

static void inherited_contexts_are_done_in_the_child(void **state) {
  struct heirloom h;
  (void)state;
  heirloom_open(&h);
  ctx_child_succeeds(child_looks, &h);
  heirloom_close(&h);
}

static tether_ctx *derive(struct heirloom *h, int how) {
  switch (how) {
    case 0:
      return tether_ctx_with_cancel(h->all[1]);
    case 1:
      return tether_ctx_with_timeout(h->all[2], CTX_TEST_HOUR);
    case 2:
      return tether_ctx_with_deadline_cause(h->all[5], TETHER_FOREVER, h->cause);
    case 3:
      return tether_ctx_with_value(h->all[3], ctx_key_user(), "grace");
    case 4:
      return tether_ctx_merge(h->all[0], tether_ctx_background());
    case 5:
      return tether_ctx_merge(tether_ctx_background(), h->all[0]);
    default:
      return tether_ctx_with_cancel(h->all[6]);
  }
}

static void child_derives_and_ends(void *data) {
  struct heirloom *h = data;
  for (int how = 0; how < 7; how++) {
    tether_ctx *ctx = derive(h, how);
    child_expect(ctx != NULL);
    child_expect(tether_ctx_err(ctx) == TETHER_CANCELLED);
    child_expect(strlen(tether_cause_text(tether_ctx_cause(ctx))) > 0);
    tether_ctx_cancel(ctx);
    tether_ctx_free(ctx);
  }
  for (int i = 0; i < KINDS; i++) {
    const tether_cause *before = tether_ctx_cause(h->all[i]);
    tether_ctx_cancel_cause(h->all[i], h->cause);
    tether_ctx_cancel(h->all[i]);
    tether_ctx_request_cancel(h->all[i]);
    child_expect(tether_ctx_cause(h->all[i]) == before);
    child_expect(tether_ctx_enable_request_cancel(h->all[i]) == TETHER_FAILED_PRECONDITION);
  }
  child_expect(atomic_load(&h->call.runs) == 0); /* the callback is the parent's */
}

static void cancelling_and_deriving_do_nothing_in_the_child(void **state) {
  struct heirloom h;
  (void)state;
  heirloom_open(&h);
  ctx_child_succeeds(child_derives_and_ends, &h);
  heirloom_close(&h);
}

static void child_registers(void *data) {
  struct heirloom *h = data;
  for (int i = 0; i < KINDS; i++) {
    struct ctx_call call = {.runs = 0};
    ctx_call_after(&call, h->all[i], NULL);
    tether_after_stop(&call.after);
    child_expect(!tether_after_stop_wait(&call.after));
    child_expect(atomic_load(&call.runs) <= 1);
  }
  tether_after_stop(&h->call.after); /* the parent's registration: returns, and that is all */
  tether_after_stop_wait(&h->call.after);
  child_expect(atomic_load(&h->call.runs) == 0);
}

static void registering_and_stopping_return_in_the_child(void **state) {
  struct heirloom h;
  (void)state;
  heirloom_open(&h);
  ctx_child_succeeds(child_registers, &h);
  heirloom_close(&h);
}

static void child_releases(void *data) {
  struct heirloom *h = data;
  int fd = h->fd;
  for (int i = 0; i < KINDS; i += 2) tether_ctx_free(h->all[i]);
  for (int i = 1; i < KINDS; i += 2) tether_ctx_unref(tether_ctx_ref(h->all[i]));
  for (int i = 1; i < KINDS; i += 2) tether_ctx_unref(h->all[i]);
  tether_ctx_free(h->ended);
  child_expect(fcntl(fd, F_GETFD) >= 0); /* memory only: the descriptor is left alone */
  child_expect(!ctx_fd_readable(fd));
}

static void releasing_in_the_child_frees_memory_only(void **state) {
  struct heirloom h;
  (void)state;
  heirloom_open(&h);
  ctx_child_succeeds(child_releases, &h);
  assert_false(ctx_fd_readable(h.fd)); /* which it shares with the parent */
  heirloom_close(&h);
}

static void child_does_all(void *data) {
  child_looks(data);
  child_derives_and_ends(data);
  child_registers(data);
  child_releases(data);
}

static void parent_is_unharmed(void **state) {
  struct heirloom h;
  tether_ctx *late;
  (void)state;
  heirloom_open(&h);
  ctx_child_succeeds(child_does_all, &h);
  for (int i = 0; i < 7; i++) assert_live(h.all[i]);
  assert_false(ctx_fd_readable(h.fd));
  assert_string_equal(tether_ctx_value(h.all[3], ctx_key_user()), "ada");
  late = tether_ctx_with_timeout(h.all[1], 2 * TETHER_MS);
  assert_code(tether_ctx_wait(late, TETHER_FOREVER), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(atomic_load(&h.call.runs), 0);
  tether_ctx_cancel_cause(h.all[0], h.cause);
  for (int i = 0; i < 5; i++) assert_cancelled(h.all[i], h.cause);
  assert_int_equal(atomic_load(&h.call.runs), 1);
  assert_true(ctx_fd_readable(h.fd));
  assert_live(h.all[6]);
  tether_ctx_free(late);
  heirloom_close(&h);
}

/* ---- The child's own contexts ---------------------------------------------------------------------- */

static tether_code count_task(const tether_ctx *ctx, void *data) {
  (void)ctx;
  atomic_fetch_add((atomic_int *)data, 1);
  return TETHER_OK;
}

static void child_uses_its_own(void *data) {
  tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *soon = tether_ctx_with_timeout(root, 2 * TETHER_MS);
  tether_ctx *polled = tether_ctx_with_timeout(root, TETHER_MS);
  struct ctx_call call = {.runs = 0}, of_root = {.runs = 0};
  struct pollfd p = {.events = POLLIN};
  tether_group *group;
  tether_pool *pool;
  atomic_int runs = 0;
  (void)data;
  ctx_call_after(&call, soon, NULL); /* only a timer thread can run it: the parent's is not here */
  ctx_call_after(&of_root, root, NULL);
  child_expect(tether_ctx_done_fd(soon, &p.fd) == TETHER_OK);
  child_expect(poll(&p, 1, -1) == 1);
  child_expect(tether_ctx_err(soon) == TETHER_DEADLINE_EXCEEDED);
  child_expect(ctx_count_wait(&call.runs, 1));
  while (tether_ctx_err(polled) == TETHER_OK) continue;
  child_expect(tether_ctx_err(root) == TETHER_OK);
  child_expect(tether_ctx_enable_request_cancel(root) == TETHER_OK);
  tether_ctx_request_cancel(root);
  child_expect(tether_ctx_wait(root, TETHER_FOREVER) == TETHER_CANCELLED);
  child_expect(ctx_count_wait(&of_root.runs, 1));
  tether_after_stop_wait(&call.after);
  tether_after_stop_wait(&of_root.after);
  tether_ctx_free(polled);
  tether_ctx_free(soon);
  tether_ctx_free(root);
  child_expect(tether_group_new(tether_ctx_background(), &group) == TETHER_OK);
  child_expect(tether_group_go(group, count_task, &runs) == TETHER_OK);
  child_expect(tether_group_wait(group) == TETHER_OK && atomic_load(&runs) == 1);
  tether_group_free(group);
  child_expect(tether_pool_open(2, &pool) == TETHER_OK);
  tether_pool_close(pool);
}

static void contexts_made_in_the_child_work(void **state) {
  struct heirloom h;
  (void)state;
  heirloom_open(&h);
  ctx_child_succeeds(child_uses_its_own, NULL);
  heirloom_close(&h);
}

static void child_forks_again(void *data) {
  struct heirloom mine;
  pid_t pid;
  int status;
  (void)data;
  memset(&mine, 0, sizeof mine);
  mine.all[0] = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  child_expect(tether_ctx_wait(mine.all[0], TETHER_MS) == TETHER_OK);
  child_expect(ctx_wait_all_blocked(1));
  pid = fork();
  if (pid == 0) {
    child_expect(tether_ctx_err(mine.all[0]) == TETHER_CANCELLED);
    child_uses_its_own(NULL);
    _exit(0);
  }
  child_expect(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  child_expect(tether_ctx_err(mine.all[0]) == TETHER_OK);
  tether_ctx_free(mine.all[0]);
}

static void grandchildren_are_children_of_children(void **state) {
  struct heirloom h;
  (void)state;
  heirloom_open(&h);
  ctx_child_succeeds(child_forks_again, NULL);
  heirloom_close(&h);
}

/* ---- Forking while other threads are in the middle of everything ------------------------------------- */

struct busy {
  struct ctx_thread thread;
  const tether_ctx *shared;
  atomic_bool stop;
  atomic_int rounds;
};

/* ASan's allocator leaves its locks to the child as they are: with it, no thread may be inside malloc or free
 * while another forks. Elsewhere the C library sees to that. */
static pthread_mutex_t allocating = PTHREAD_MUTEX_INITIALIZER;

static void allocate_begin(void) { pthread_mutex_lock(&allocating); }

static void allocate_end(void) { pthread_mutex_unlock(&allocating); }

static void be_busy(void *data) {
  struct busy *b = data;
#ifndef CTX_TEST_ASAN
  pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER, *mutex = &own;
#else
  pthread_mutex_t *mutex = &allocating;
#endif
  while (!atomic_load(&b->stop)) {
    pthread_mutex_lock(mutex);
    tether_ctx *mine = tether_ctx_with_timeout(b->shared, CTX_TEST_HOUR);
    tether_ctx *child = tether_ctx_with_cancel(mine);
    pthread_mutex_unlock(mutex);
    struct ctx_call call = {.runs = 0};
    ctx_call_after(&call, child, NULL);
    if (tether_ctx_wait(child, TETHER_US) != TETHER_OK) break;
    tether_ctx_cancel(mine);
    pthread_mutex_lock(mutex);
    tether_ctx_free(child);
    tether_ctx_free(mine);
    pthread_mutex_unlock(mutex);
    atomic_fetch_add(&b->rounds, 1);
  }
}

static void child_of_busy_parent(void *data) {
  child_looks(data);
  child_derives_and_ends(data);
  child_registers(data);
#ifndef CTX_TEST_TSAN /* whose books still hold the threads that the fork left behind */
  child_uses_its_own(NULL);
#endif
  child_releases(data);
}

/* Locks that vanished threads held must not stop the child. */
static void forking_while_threads_are_busy_leaves_no_lock_behind(void **state) {
  struct heirloom h;
  struct busy busy[2];
  (void)state;
  heirloom_open(&h);
  assert_int_equal(pthread_atfork(allocate_begin, allocate_end, allocate_end), 0);
  for (int i = 0; i < 2; i++) {
    memset(&busy[i], 0, sizeof busy[i]);
    busy[i].shared = h.all[1];
    ctx_thread_start(&busy[i].thread, be_busy, &busy[i]);
  }
  for (int i = 0; i < 2; i++) assert_true(ctx_count_wait(&busy[i].rounds, 1));
  for (int i = 0; i < CTX_TEST_ROUNDS(200); i++) ctx_child_succeeds(child_of_busy_parent, &h);
  for (int i = 0; i < 2; i++) {
    assert_false(ctx_latch_is_open(&busy[i].thread.finished)); /* still at it */
    atomic_store(&busy[i].stop, true);
    ctx_thread_join(&busy[i].thread);
  }
  heirloom_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(inherited_contexts_are_done_in_the_child),
      behaviour(cancelling_and_deriving_do_nothing_in_the_child),
      behaviour(registering_and_stopping_return_in_the_child),
      behaviour(releasing_in_the_child_frees_memory_only),
      behaviour(parent_is_unharmed),
      behaviour(contexts_made_in_the_child_work),
      behaviour(grandchildren_are_children_of_children),
      behaviour(forking_while_threads_are_busy_leaves_no_lock_behind),
  };
  return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
