/* What the services tell systemd: that they are ready when they are, that they are alive as long as they answer, and
 * that they stop. The test is the one who listens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cluster.h"
#include "support/http.h"

static char dir[64], db[160];
static int notify_fd;

/* The name is a path, or '@' and a name without a file. */
static void listen_at(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t len = strlen(name);
  memcpy(address.sun_path, name, len);
  if (*name == '@') address.sun_path[0] = '\0';
  notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
  assert_int_equal(bind(notify_fd, (struct sockaddr *)&address, size), 0);
  setenv("NOTIFY_SOCKET", name, 1);
}

static int setup(void **state) {
  char path[128];
  process load;
  (void)state;
  make_dir(dir);
  snprintf(db, sizeof db, "%s/db", dir);
  const char *const args[] = {"--to", db, "--shards", "1", "--from", TESTS_SERVICES_SAMPLE, NULL};
  if (process_run(&load, dir, "load", "tether-load", args) != 0) return -1;
  snprintf(db, sizeof db, "%s/db/shard-0.db", dir);
  snprintf(path, sizeof path, "%s/notify", dir);
  listen_at(path);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_USEC");
  unsetenv("WATCHDOG_PID");
  close(notify_fd);
  remove_dir(dir);
  return 0;
}

/* Waits for the next message. */
static const char *next_message(void) {
  static char text[256];
  struct pollfd readable = {.fd = notify_fd, .events = POLLIN};
  assert_int_equal(poll(&readable, 1, PATIENCE_MS), 1);
  ssize_t n = recv(notify_fd, text, sizeof text - 1, 0);
  assert_true(n > 0);
  text[n] = '\0';
  return text;
}

/* The next one that is not of the watchdog. */
static const char *next_but_watchdog(void) {
  const char *text;
  while (strcmp(text = next_message(), "WATCHDOG=1") == 0) continue;
  return text;
}

static int forget_messages(void) {
  char text[256];
  int count = 0;
  while (recv(notify_fd, text, sizeof text, 0) > 0) count++;
  return count;
}

static const char *shard_url(void) {
  static char url[128];
  snprintf(url, sizeof url, "ipc://%s/shard.sock", dir);
  return url;
}

static void start_shard(process *p) {
  const char *const args[] = {"--db", db, "--listen", shard_url(), NULL};
  process_start(p, dir, "shard", "tether-shard", args);
}

static void start_search(process *p) {
  char url[128];
  snprintf(url, sizeof url, "ipc://%s/search.sock", dir);
  const char *const args[] = {"--listen", url, "--shard", shard_url(), NULL};
  process_start(p, dir, "search", "tether-search", args);
}

static void start_edge(process *p) {
  char url[128];
  snprintf(url, sizeof url, "ipc://%s/search.sock", dir);
  const char *const args[] = {"--listen", "127.0.0.1:0", "--search", url, NULL};
  process_start(p, dir, "edge", "tether-edge", args);
}

static void (*const starts[])(process *p) = {start_shard, start_search, start_edge};

static void stop(process *p) {
  kill(p->pid, SIGTERM);
  assert_string_equal(next_but_watchdog(), "STOPPING=1");
  assert_int_equal(process_wait(p), 0);
}

static void each_service_says_ready_alive_alive_and_stopping(void **state) {
  (void)state;
  setenv("WATCHDOG_USEC", "400000", 1);
  for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
    process p;
    log_line line;
    starts[i](&p);
    assert_string_equal(next_message(), "READY=1");
    assert_true(log_find(&p, "ready", NULL, NULL, &line)); /* it is logged before */
    for (int alive = 0; alive < 3; alive++) assert_string_equal(next_message(), "WATCHDOG=1");
    stop(&p);
    forget_messages();
  }
}

static void without_a_watchdog_there_is_no_sign_of_life(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
    process p;
    starts[i](&p);
    assert_string_equal(next_message(), "READY=1");
    kill(p.pid, SIGTERM);
    assert_string_equal(next_message(), "STOPPING=1");
    assert_int_equal(process_wait(&p), 0);
    assert_int_equal(forget_messages(), 0);
  }
}

static void a_watchdog_meant_for_another_process_is_none(void **state) {
  process p;
  (void)state;
  setenv("WATCHDOG_USEC", "2000", 1); /* many would come */
  setenv("WATCHDOG_PID", "1", 1);
  start_shard(&p);
  assert_string_equal(next_message(), "READY=1");
  const char *const args[] = {"health", "--url", shard_url(), "--timeout", "10s", NULL};
  process probe;
  assert_int_equal(process_run(&probe, dir, "probe", "tether-cli", args), 0); /* takes longer than that */
  kill(p.pid, SIGTERM);
  assert_string_equal(next_message(), "STOPPING=1");
  assert_int_equal(process_wait(&p), 0);
}

static void a_socket_without_a_file_is_told_too(void **state) {
  char name[96];
  process p;
  (void)state;
  close(notify_fd);
  snprintf(name, sizeof name, "@tether-test-%d", (int)getpid());
  listen_at(name);
  start_shard(&p);
  assert_string_equal(next_message(), "READY=1");
  stop(&p);
}

static int count_lines(const process *p, const char *text) {
  char *log = file_text(p->log);
  int count = 0;
  for (const char *at = log; (at = strstr(at, text)); at++) count++;
  free(log);
  return count;
}

static bool wait_for_lines(const process *p, const char *text, int count) {
  for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
    if (count_lines(p, text) >= count) return true;
    nap_ms(10);
  }
  return false;
}

/* The process runs and its threads sleep as always; but nobody can reach it any more. */
static void a_service_that_cannot_be_reached_sends_no_sign_of_life(void **state) {
  process p;
  (void)state;
  setenv("WATCHDOG_USEC", "400000", 1);
  start_shard(&p);
  assert_string_equal(next_message(), "READY=1");
  assert_string_equal(next_message(), "WATCHDOG=1");
  assert_int_equal(unlink(shard_url() + strlen("ipc://")), 0);
  assert_true(wait_for_lines(&p, "event=watchdog", 1));
  forget_messages();
  assert_true(wait_for_lines(&p, "event=watchdog", 3));
  assert_int_equal(forget_messages(), 0);
  stop(&p);
}

static void a_listener_that_is_not_there_is_logged_and_the_service_goes_on(void **state) {
  static const char *const names[] = {"/nowhere/notify", "relative", "@"};
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    process p;
    log_line line;
    setenv("NOTIFY_SOCKET", names[i], 1);
    start_shard(&p);
    assert_true(log_wait(&p, "error", NULL, "READY=1", &line));
    const char *const args[] = {"health", "--url", shard_url(), "--timeout", "10s", NULL};
    process probe;
    assert_int_equal(process_run(&probe, dir, "probe", "tether-cli", args), 0);
    kill(p.pid, SIGTERM);
    assert_int_equal(process_wait(&p), 0);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_service_says_ready_alive_alive_and_stopping),
      TEST(without_a_watchdog_there_is_no_sign_of_life),
      TEST(a_watchdog_meant_for_another_process_is_none),
      TEST(a_socket_without_a_file_is_told_too),
      TEST(a_service_that_cannot_be_reached_sends_no_sign_of_life),
      TEST(a_listener_that_is_not_there_is_logged_and_the_service_goes_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
