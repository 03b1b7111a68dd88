#include "tests/support/wire_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/raw_peer.h"

/* One direction of one connection; kept until the tap is closed. */
struct stream {
  struct stream *next;
  uint8_t *bytes;
  size_t len, capacity;
};

struct wire_tap {
  int listener, stop[2]; /* the pipe's end that is read becomes readable when it is time to stop */
  uint16_t server_port;
  pthread_t thread;
  pthread_mutex_t lock;
  struct stream *streams; /* under lock */
};

/* One connection; a thread of its own. */
struct relay {
  wire_tap *tap;
  struct relay *next;
  pthread_t thread;
  int fds[2];
  struct stream *streams[2];
};

static struct stream *stream_new(wire_tap *tap) {
  struct stream *stream = calloc(1, sizeof *stream);
  if (!stream) abort();
  pthread_mutex_lock(&tap->lock);
  stream->next = tap->streams;
  tap->streams = stream;
  pthread_mutex_unlock(&tap->lock);
  return stream;
}

static void write_down(wire_tap *tap, struct stream *stream, const uint8_t *bytes, size_t len) {
  pthread_mutex_lock(&tap->lock);
  if (stream->len + len > stream->capacity) {
    stream->capacity = 2 * (stream->len + len);
    stream->bytes = realloc(stream->bytes, stream->capacity);
    if (!stream->bytes) abort();
  }
  memcpy(stream->bytes + stream->len, bytes, len);
  stream->len += len;
  pthread_mutex_unlock(&tap->lock);
}

/* Hands on what has come from one side. false: it has ended. */
static bool hand_on(struct relay *r, int from) {
  uint8_t bytes[16384];
  ssize_t n = recv(r->fds[from], bytes, sizeof bytes, 0);
  if (n <= 0) return n < 0 && errno == EINTR;
  write_down(r->tap, r->streams[from], bytes, (size_t)n);
  return raw_write(r->fds[1 - from], bytes, (size_t)n);
}

static void *run_relay(void *data) {
  struct relay *r = data;
  for (bool more = true; more;) {
    struct pollfd polls[3] = {{.fd = r->tap->stop[0], .events = POLLIN},
                              {.fd = r->fds[0], .events = POLLIN},
                              {.fd = r->fds[1], .events = POLLIN}};
    if (poll(polls, 3, -1) < 0 && errno != EINTR) break;
    if (polls[0].revents) break;
    for (int i = 0; i < 2 && more; i++)
      if (polls[1 + i].revents) more = hand_on(r, i);
  }
  close(r->fds[0]);
  close(r->fds[1]);
  return NULL;
}

static void *run_tap(void *data) {
  wire_tap *tap = data;
  struct relay *relays = NULL;
  struct pollfd polls[2] = {{.fd = tap->stop[0], .events = POLLIN}, {.fd = tap->listener, .events = POLLIN}};
  while (poll(polls, 2, -1) >= 0 && !polls[0].revents) {
    int fd = polls[1].revents ? raw_accept(tap->listener) : -1;
    if (fd < 0) continue;
    struct relay *r = calloc(1, sizeof *r);
    if (!r) abort();
    *r = (struct relay){.tap = tap, .next = relays, .fds = {fd, raw_connect_tcp(tap->server_port)}};
    r->streams[0] = stream_new(tap);
    r->streams[1] = stream_new(tap);
    if (r->fds[1] < 0 || pthread_create(&r->thread, NULL, run_relay, r) != 0) abort();
    relays = r;
  }
  for (struct relay *r; (r = relays); free(r)) {
    relays = r->next;
    pthread_join(r->thread, NULL);
  }
  return NULL;
}

wire_tap *wire_tap_open(uint16_t server_port, uint16_t *port) {
  wire_tap *tap = calloc(1, sizeof *tap);
  if (!tap) abort();
  tap->server_port = server_port;
  tap->listener = raw_listen_tcp(port);
  pthread_mutex_init(&tap->lock, NULL);
  if (tap->listener < 0 || pipe2(tap->stop, O_CLOEXEC) != 0 || pthread_create(&tap->thread, NULL, run_tap, tap) != 0)
    abort();
  return tap;
}

void wire_tap_close(wire_tap *tap) {
  close(tap->stop[1]); /* readable for good: its end */
  pthread_join(tap->thread, NULL);
  close(tap->stop[0]);
  close(tap->listener);
  for (struct stream *stream; (stream = tap->streams); free(stream)) {
    tap->streams = stream->next;
    free(stream->bytes);
  }
  pthread_mutex_destroy(&tap->lock);
  free(tap);
}

size_t wire_tap_bytes(wire_tap *tap) {
  size_t bytes = 0;
  pthread_mutex_lock(&tap->lock);
  for (const struct stream *stream = tap->streams; stream; stream = stream->next) bytes += stream->len;
  pthread_mutex_unlock(&tap->lock);
  return bytes;
}

bool wire_tap_saw(wire_tap *tap, const char *text) {
  bool saw = false;
  pthread_mutex_lock(&tap->lock);
  for (const struct stream *stream = tap->streams; stream && !saw; stream = stream->next)
    saw = stream->len > 0 && memmem(stream->bytes, stream->len, text, strlen(text));
  pthread_mutex_unlock(&tap->lock);
  return saw;
}
