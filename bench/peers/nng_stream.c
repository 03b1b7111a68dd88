/* The limit above nng: a bare nng byte stream, the server echoing from its receive callback, the client waiting for
 * operations without callbacks. */
#include <nng/nng.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/harness.h"

struct end {
  nng_stream *stream;
  nng_aio *aio;
  char payload[BENCH_PAYLOAD_BYTES];
  bool sending; /* server: what the operation under way is */
};

static const char *url_of(const bench_options *options, char *url, size_t size) {
  snprintf(url, size, "ipc://%s", options->address);
  return url;
}

static void begin(struct end *end, bool send) {
  nng_iov iov = {.iov_buf = end->payload, .iov_len = sizeof end->payload};
  nng_aio_set_iov(end->aio, 1, &iov);
  end->sending = send;
  if (send)
    nng_stream_send(end->stream, end->aio);
  else
    nng_stream_recv(end->stream, end->aio);
}

static void echo(void *data) {
  struct end *end = data;
  if (nng_aio_result(end->aio) == 0 && nng_aio_count(end->aio) == sizeof end->payload) begin(end, !end->sending);
}

static void serve(const bench_options *options) {
  char url[128];
  nng_stream_listener *listener;
  nng_aio *accepting;
  static struct end end;
  if (nng_stream_listener_alloc(&listener, url_of(options, url, sizeof url)) != 0 ||
      nng_stream_listener_listen(listener) != 0 || nng_aio_alloc(&accepting, NULL, NULL) != 0 ||
      nng_aio_alloc(&end.aio, echo, &end) != 0)
    bench_fail("the server cannot listen at %s", options->address);
  nng_stream_listener_accept(listener, accepting);
  if (write(STDOUT_FILENO, "", 1) != 1) bench_fail("the parent has gone");
  nng_aio_wait(accepting);
  end.stream = nng_aio_get_output(accepting, 0);
  begin(&end, false);
  for (char byte; read(STDIN_FILENO, &byte, 1) > 0;) {
  }
}

static void call_once(void *data) {
  struct end *end = data;
  for (int send = 1; send >= 0; send--) {
    begin(end, send);
    nng_aio_wait(end->aio);
    if (nng_aio_result(end->aio) != 0 || nng_aio_count(end->aio) != sizeof end->payload) bench_fail("a call failed");
  }
}

static void measure(const bench_options *options, bench_run *run) {
  char url[128];
  nng_stream_dialer *dialer;
  struct end end = {0};
  if (nng_stream_dialer_alloc(&dialer, url_of(options, url, sizeof url)) != 0 ||
      nng_aio_alloc(&end.aio, NULL, NULL) != 0)
    bench_fail("no dialer");
  nng_stream_dialer_dial(dialer, end.aio);
  nng_aio_wait(end.aio);
  if (nng_aio_result(end.aio) != 0) bench_fail("no connection");
  end.stream = nng_aio_get_output(end.aio, 0);
  bench_one_by_one(run, call_once, &end);
  nng_stream_free(end.stream);
  nng_aio_free(end.aio);
  nng_stream_dialer_free(dialer);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
