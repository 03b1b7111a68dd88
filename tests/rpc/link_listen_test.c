/* Dialling and listening: strangers, silence, floods, refusals, and the ends of dialers and listeners. */
#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/link_nng.h"
#include "tests/support/link_test.h"

static int setup(void **state) {
  if (link_setup(state) != 0) return -1;
  return link_listen_tcp(*state) ? 0 : -1;
}

static int teardown(void **state) {
  link_fixture *f = *state;
  atomic_store(&tth_link_nng_greeting_timeout_ns, 10 * TETHER_SEC);
  tst_acceptor_close(&f->on_tcp);
  return link_teardown(state);
}

/* ---- Strangers ------------------------------------------------------------------------------ */

/* A stranger that says `bytes` is closed with one line that says `text`. */
static void stranger(link_fixture *f, const void *bytes, size_t len, const char *text) {
  int fd = raw_connect_tcp(f->port);
  assert_true(fd >= 0);
  assert_true(raw_write(fd, bytes, len));
  assert_true(raw_is_closed(fd));
  close(fd);
  assert_true(tst_stderr_says(&f->caught, text));
  assert_int_equal(tst_stderr_lines(&f->caught, text), 1);
  char line[64];
  snprintf(line, sizeof line, "tether: tcp://127.0.0.1:%u: closed 127.0.0.1:", f->port);
  assert_int_equal(tst_stderr_lines(&f->caught, line), 1);
  assert_int_equal(tst_counter_get(&f->on_tcp.accepted), 0);
}

static void http_is_closed_and_named(void **state) {
  stranger(*state, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, "not an SP PAIR0 peer (looks like HTTP)");
}

static void http_2_is_closed_and_named(void **state) {
  stranger(*state, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, "looks like HTTP");
}

static void a_tls_hello_on_a_plain_port_is_closed_and_named(void **state) {
  static const uint8_t hello[] = {0x16, 3, 1, 0, 0xf4, 1, 0, 0, 0xf0, 3, 3};
  stranger(*state, hello, sizeof hello, "not an SP PAIR0 peer (looks like TLS)");
}

static void another_sp_protocol_is_closed_and_named(void **state) {
  static const uint8_t req[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
  stranger(*state, req, sizeof req, "speaks another SP protocol");
}

static void noise_is_closed_at_its_first_wrong_byte(void **state) { stranger(*state, "\x8f", 1, "unknown protocol"); }

static void half_a_greeting_and_an_end_is_closed_and_named(void **state) {
  link_fixture *f = *state;
  uint8_t theirs[8]; /* read, so that the end is not a reset */
  int fd = raw_connect_tcp(f->port);
  assert_true(fd >= 0 && raw_write(fd, "\0SP\0", 4) && raw_read(fd, theirs, sizeof theirs));
  close(fd);
  assert_true(tst_stderr_says(&f->caught, "incomplete greeting"));
}

static void who_leaves_without_a_word_is_not_worth_a_line(void **state) {
  link_fixture *f = *state;
  int fd = raw_connect_tcp(f->port);
  assert_true(fd >= 0);
  close(fd);
  stranger(f, "GET / HTTP/1.1\r\n\r\n", 18, "looks like HTTP"); /* the only line */
}

static void a_silent_peer_is_closed_in_time(void **state) {
  link_fixture *f = *state;
  atomic_store(&tth_link_nng_greeting_timeout_ns, 100 * TETHER_MS);
  int first = raw_connect_tcp(f->port); /* may still be under the old limit's accept */
  int fd = raw_connect_tcp(f->port);
  int64_t start_ns = tst_now_ns();
  assert_true(first >= 0 && fd >= 0 && raw_write(fd, "\0SP", 3));
  assert_true(raw_is_closed(fd) && raw_is_closed(first));
  assert_true(tst_now_ns() - start_ns < 9 * TETHER_SEC);
  assert_true(tst_stderr_says(&f->caught, "no greeting in time (incomplete greeting)"));
  assert_true(tst_stderr_says(&f->caught, "no greeting in time (sent nothing)"));
  close(first);
  close(fd);
}

/* More silent connections than are kept: the oldest go, and who greets is served at once. */
static void a_flood_of_silent_peers_costs_only_itself(void **state) {
  enum { FLOOD = 400 };
  link_fixture *f = *state;
  int fds[FLOOD];
  for (int i = 0; i < FLOOD; i++) assert_true((fds[i] = raw_connect_tcp(f->port)) >= 0);
  int fd = raw_connect_tcp(f->port);
  int64_t start_ns = tst_now_ns();
  assert_true(fd >= 0 && raw_greet(fd));
  tth_link *link = tst_acceptor_take(&f->on_tcp);
  assert_non_null(link);
  assert_true(tst_now_ns() - start_ns < 5 * TETHER_SEC); /* not after their 10 s */
  assert_true(raw_is_closed(fds[0]));
  link->ops->free(link);
  for (int i = 0; i < FLOOD; i++) close(fds[i]);
  close(fd);
  assert_true(tst_stderr_lines(&f->caught, "pushed out") <= 60); /* lines are limited */
}

/* ---- Framing, byte by byte ------------------------------------------------------------------ */

/* A started probe whose peer is a raw socket. */
static int raw_probe(link_fixture *f, tst_probe *probe) {
  int fd = raw_connect_tcp(f->port);
  assert_true(fd >= 0 && raw_greet(fd));
  tst_probe_init(probe);
  tth_link *link = tst_acceptor_take(&f->on_tcp);
  assert_non_null(link);
  tst_probe_start(probe, link);
  return fd;
}

static void end_raw_probe(tst_probe *probe, int fd) {
  assert_true(tst_probe_end(probe));
  assert_fine(probe);
  tst_probe_fini(probe);
  close(fd);
}

static size_t put_message(uint8_t *at, size_t len, uint32_t seq) {
  for (int i = 0; i < 8; i++) at[i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
  tst_batch_fill(at + 8, len, seq);
  return 8 + len;
}

static void messages_split_and_joined_anyhow_arrive_whole(void **state) {
  static uint8_t bytes[300000];
  tst_probe probe;
  int fd = raw_probe(*state, &probe);
  size_t len = 0;
  uint32_t count = 0;
  while (len < 2000) len += put_message(bytes + len, 1 + count % 40, count), count++;
  for (size_t i = 0; i < len; i++) assert_true(raw_write(fd, bytes + i, 1));
  assert_true(tst_counter_wait(&probe.batches, count, TST_BOUND_NS));
  for (int round = 0; round < 20; round++) { /* many per write, one of them cut in two */
    len = 0;
    while (len < 200000) len += put_message(bytes + len, 1 + (count * 7919) % 5000, count), count++;
    assert_true(raw_write(fd, bytes, len / 2));
    assert_true(raw_write(fd, bytes + len / 2, len - len / 2));
  }
  assert_true(tst_counter_wait(&probe.batches, count, TST_BOUND_NS));
  end_raw_probe(&probe, fd);
}

static void empty_messages_are_skipped(void **state) {
  uint8_t bytes[64] = {0};
  tst_probe probe;
  int fd = raw_probe(*state, &probe);
  size_t len = 16; /* two empty ones */
  len += put_message(bytes + len, 5, 0);
  memset(bytes + len, 0, 8);
  len += 8;
  len += put_message(bytes + len, 3, 1);
  assert_true(raw_write(fd, bytes, len));
  assert_true(tst_counter_wait(&probe.batches, 2, TST_BOUND_NS));
  assert_int_equal(tst_counter_get(&probe.bytes), 8);
  end_raw_probe(&probe, fd);
}

static void a_message_of_the_limit_is_taken_and_one_byte_more_is_not(void **state) {
  size_t limit = TTH_LINK_NNG_RECEIVE_MAX;
  uint8_t *bytes = malloc(limit + 9);
  tst_probe probe;
  int fd = raw_probe(*state, &probe);
  put_message(bytes, limit, 0);
  assert_true(raw_write(fd, bytes, 8 + limit));
  assert_true(tst_counter_wait(&probe.batches, 1, TST_BOUND_NS));
  put_message(bytes, limit + 1, 1);
  assert_true(raw_write(fd, bytes, 8));
  assert_true(raw_is_closed(fd));
  assert_true(tst_counter_wait(&probe.closed, 1, TST_BOUND_NS));
  assert_string_equal(probe.why, "the peer announced a message of 1048577 bytes, above the limit of 1048576");
  free(bytes);
  end_raw_probe(&probe, fd);
}

static void an_absurd_length_closes_the_link(void **state) {
  static const uint8_t header[] = {0x80, 0, 0, 0, 0, 0, 0, 0};
  tst_probe probe;
  int fd = raw_probe(*state, &probe);
  assert_true(raw_write(fd, header, sizeof header));
  assert_true(tst_counter_wait(&probe.closed, 1, TST_BOUND_NS));
  assert_non_null(strstr(probe.why, "9223372036854775808 bytes, above the limit"));
  end_raw_probe(&probe, fd);
}

static void a_wrong_leading_byte_on_ipc_closes_the_link(void **state) {
  static const uint8_t header[] = {2, 0, 0, 0, 0, 0, 0, 0, 1, 'x'};
  link_fixture *f = *state;
  tst_acceptor acceptor;
  tst_probe probe;
  tst_probe_init(&probe);
  assert_int_equal(tst_acceptor_open(&acceptor, nng, f->ipc_url, NULL), TETHER_OK);
  int fd = raw_connect_ipc(f->ipc_path);
  assert_true(fd >= 0 && raw_greet(fd));
  tst_probe_start(&probe, tst_acceptor_take(&acceptor));
  assert_true(raw_write(fd, header, sizeof header));
  assert_true(tst_counter_wait(&probe.closed, 1, TST_BOUND_NS));
  assert_string_equal(probe.why, "the peer broke SP framing");
  end_raw_probe(&probe, fd);
  tst_acceptor_close(&acceptor);
}

/* ---- Dialling ------------------------------------------------------------------------------- */

static void assert_dial_fails(const char *url, int64_t timeout_ns, const char *expected) {
  char why[TST_WHY_SIZE];
  tth_dialer *dialer;
  assert_int_equal(nng->dialer_new(url, NULL, &dialer), TETHER_OK);
  assert_null(tst_dial(dialer, timeout_ns, nng, why));
  if (!strstr(why, expected)) fail_msg("%s: \"%s\", not \"%s\"", url, why, expected);
  assert_null(tst_dial(dialer, timeout_ns, nng, why)); /* and can be tried again */
  nng->dialer_free(dialer);
}

static void refusals_silence_and_strangers_fail_an_attempt_with_the_reason(void **state) {
  link_fixture *f = *state;
  char url[64];
  uint16_t port;
  assert_dial_fails(f->ipc_url, TETHER_SEC, "connection refused"); /* no such file */
  int fd = raw_listen_tcp(&port);
  assert_true(fd >= 0);
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
  assert_dial_fails(url, 100 * TETHER_MS, "no greeting in time (sent nothing)"); /* connects, says nothing */
  close(fd);
  assert_dial_fails(url, TETHER_SEC, "connection refused");
}

static void a_server_of_another_protocol_fails_an_attempt(void **state) {
  char url[64], why[TST_WHY_SIZE];
  uint16_t port;
  int status = -1;
  tth_dialer *dialer;
  (void)state;
  int listener = raw_listen_tcp(&port);
  assert_true(listener >= 0);
  pid_t child = fork(); /* greets as mail servers do */
  if (child == 0) {
    int peer = raw_accept(listener);
    _exit(peer >= 0 && raw_write(peer, "220 mail ready\r\n", 16) && raw_is_closed(peer) ? 0 : 1);
  }
  close(listener);
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
  assert_int_equal(nng->dialer_new(url, NULL, &dialer), TETHER_OK);
  assert_null(tst_dial(dialer, TST_BOUND_NS, nng, why));
  assert_string_equal(why, "not an SP PAIR0 peer (unknown protocol)");
  nng->dialer_free(dialer);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

typedef struct outcome {
  tst_latch done;
  tth_link *link;
  char why[TST_WHY_SIZE];
} outcome;

static void record(void *owner, tth_link *link, const char *why) {
  outcome *o = owner;
  o->link = link;
  if (why) snprintf(o->why, sizeof o->why, "%s", why);
  tst_latch_open(&o->done);
}

/* When dialer_free returns, `done` has been called; there is nobody left to call it. */
static void freeing_a_dialer_ends_its_attempt_first(void **state) {
  char url[64];
  uint16_t port;
  (void)state;
  int listener = raw_listen_tcp(&port);
  assert_true(listener >= 0);
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
  for (int i = 0; i < 100; i++) {
    tth_dialer *dialer;
    outcome o = {.link = NULL};
    tst_latch_init(&o.done);
    assert_int_equal(nng->dialer_new(url, NULL, &dialer), TETHER_OK);
    nng->dial(dialer, TETHER_FOREVER, record, &o);
    if (i % 3 == 0) close(raw_accept(listener)); /* sometimes it is further on */
    nng->dialer_free(dialer);
    assert_true(tst_latch_is_open(&o.done));
    assert_null(o.link);
    assert_true(o.why[0] != '\0');
    tst_latch_fini(&o.done);
  }
  close(listener);
}

static void urls_that_cannot_work_are_refused_with_the_reason(void **state) {
  static const struct {
    const char *url, *why;
  } bad[] = {
      {"", "not a URL"},
      {"localhost:80", "not a URL"},
      {"inproc://x", "unknown scheme"},
      {"tcp://127.0.0.1", "no port"},
      {"tcp://127.0.0.1:99999", "not a port"},
      {"tcp://:80", "no host"},
      {"tcp://127.0.0.1:0", "port 0"},
      {"ipc://", "no path"},
      {"ipc:///tmp/"
       "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
       "too long"},
      {"tls+tcp://localhost:80", "no TLS options"},
  };
  link_fixture *f = *state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tth_dialer *dialer = NULL;
    assert_int_equal(nng->dialer_new(bad[i].url, NULL, &dialer), TETHER_INVALID_ARGUMENT);
    assert_null(dialer);
    if (tst_stderr_lines(&f->caught, bad[i].why) == 0) fail_msg("no \"%s\" for %s", bad[i].why, bad[i].url);
  }
}

/* ---- Listening ------------------------------------------------------------------------------ */

static void a_bound_address_is_unavailable(void **state) {
  link_fixture *f = *state;
  char url[64];
  tst_acceptor second, first;
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", f->port);
  assert_int_equal(tst_acceptor_open(&second, nng, url, NULL), TETHER_UNAVAILABLE);
  tst_acceptor_close(&second);
  assert_true(tst_stderr_says(&f->caught, "cannot listen"));
  assert_int_equal(tst_acceptor_open(&first, nng, f->ipc_url, NULL), TETHER_OK);
  assert_int_equal(tst_acceptor_open(&second, nng, f->ipc_url, NULL), TETHER_UNAVAILABLE);
  tst_acceptor_close(&second);
  int fd = raw_connect_ipc(f->ipc_path); /* the first is unharmed */
  assert_true(fd >= 0 && raw_greet(fd));
  close(fd);
  tst_acceptor_close(&first);
}

static void a_plain_file_is_not_taken_for_a_dead_socket(void **state) {
  link_fixture *f = *state;
  struct stat status;
  tst_acceptor acceptor;
  FILE *file = fopen(f->ipc_path, "w");
  assert_non_null(file);
  fclose(file);
  assert_int_equal(tst_acceptor_open(&acceptor, nng, f->ipc_url, NULL), TETHER_UNAVAILABLE);
  tst_acceptor_close(&acceptor);
  assert_int_equal(stat(f->ipc_path, &status), 0);
  assert_true(S_ISREG(status.st_mode));
}

static void freeing_a_listener_ends_strangers_and_leaves_accepted_links(void **state) {
  static const uint8_t message[] = {0, 0, 0, 0, 0, 0, 0, 1, 0};
  link_fixture *f = *state;
  tst_probe probe;
  int fd = raw_probe(f, &probe), silent = raw_connect_tcp(f->port);
  assert_true(silent >= 0);
  nng->listener_free(f->on_tcp.listener);
  f->on_tcp.listener = NULL;
  assert_true(raw_is_closed(silent));
  close(silent);
  assert_true(raw_write(fd, message, sizeof message));
  assert_true(tst_counter_wait(&probe.batches, 1, TST_BOUND_NS));
  assert_true(raw_connect_tcp(f->port) < 0);
  end_raw_probe(&probe, fd);
}

/* Connections that arrive while the listener is being freed are accepted or closed, never forgotten. */
static void freeing_a_listener_under_load_leaks_nothing(void **state) {
  link_fixture *f = *state;
  for (int i = 0; i < 50; i++) {
    tst_acceptor acceptor;
    int fds[8];
    assert_int_equal(tst_acceptor_open(&acceptor, nng, f->ipc_url, NULL), TETHER_OK);
    for (int j = 0; j < 8; j++) {
      fds[j] = raw_connect_ipc(f->ipc_path);
      assert_true(fds[j] >= 0 && raw_write(fds[j], "\0SP\0\0\x10\0", 8));
    }
    tst_acceptor_close(&acceptor); /* a leak is for the sanitizer to find */
    for (int j = 0; j < 8; j++) {
      assert_true(raw_is_closed(fds[j]));
      close(fds[j]);
    }
  }
}

/* ---- Nothing is left behind ----------------------------------------------------------------- */

static int count_entries(const char *path) {
  int count = 0;
  DIR *dir = opendir(path);
  while (readdir(dir)) count++;
  closedir(dir);
  return count;
}

typedef struct usage {
  int fds, threads;
} usage;

static bool back_to(void *data) {
  const usage *before = data;
  return count_entries("/proc/self/fd") <= before->fds && count_entries("/proc/self/task") <= before->threads;
}

static void cycle(const char *url, int count) {
  for (int i = 0; i < count; i++) {
    tst_probe client, server;
    tst_probe_init(&client);
    tst_probe_init(&server);
    const char *failure = tst_connect(nng, url, NULL, NULL, &client, &server);
    if (failure) fail_msg("%s", failure);
    tst_probe_send(&client, 10);
    assert_true(tst_counter_wait(&server.batches, 1, TST_BOUND_NS));
    assert_true(tst_probe_end(i % 2 ? &client : &server));
    assert_true(tst_counter_wait(i % 2 ? &server.closed : &client.closed, 1, TST_BOUND_NS));
    tst_probe_fini(&client);
    tst_probe_fini(&server);
  }
}

static void a_thousand_connections_leave_no_descriptor_and_no_thread(void **state) {
  link_fixture *f = *state;
  cycle(f->ipc_url, 1);
  usage before = {count_entries("/proc/self/fd"), count_entries("/proc/self/task")};
  cycle(f->ipc_url, 600);
  cycle("tcp://127.0.0.1:0", 400);
  assert_true(tst_wait_until(back_to, &before, TST_BOUND_NS)); /* nng closes in the background */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(http_is_closed_and_named),
      CASE(http_2_is_closed_and_named),
      CASE(a_tls_hello_on_a_plain_port_is_closed_and_named),
      CASE(another_sp_protocol_is_closed_and_named),
      CASE(noise_is_closed_at_its_first_wrong_byte),
      CASE(half_a_greeting_and_an_end_is_closed_and_named),
      CASE(who_leaves_without_a_word_is_not_worth_a_line),
      CASE(a_silent_peer_is_closed_in_time),
      CASE(a_flood_of_silent_peers_costs_only_itself),
      CASE(messages_split_and_joined_anyhow_arrive_whole),
      CASE(empty_messages_are_skipped),
      CASE(a_message_of_the_limit_is_taken_and_one_byte_more_is_not),
      CASE(an_absurd_length_closes_the_link),
      CASE(a_wrong_leading_byte_on_ipc_closes_the_link),
      CASE(refusals_silence_and_strangers_fail_an_attempt_with_the_reason),
      CASE(a_server_of_another_protocol_fails_an_attempt),
      CASE(freeing_a_dialer_ends_its_attempt_first),
      CASE(urls_that_cannot_work_are_refused_with_the_reason),
      CASE(a_bound_address_is_unavailable),
      CASE(a_plain_file_is_not_taken_for_a_dead_socket),
      CASE(freeing_a_listener_ends_strangers_and_leaves_accepted_links),
      CASE(freeing_a_listener_under_load_leaks_nothing),
      CASE(a_thousand_connections_leave_no_descriptor_and_no_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
