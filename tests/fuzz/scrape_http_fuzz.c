/* What serves /metrics: bytes of a scraper on a socket, evhttp, and the answers. Input: where the bytes are cut in two;
 * the rest are those bytes. What comes back begins as HTTP does; 200 is for a GET of the path alone, with metrics. */
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "telemetry/scrape.h"
#include "tests/fuzz/fuzz.h"

#define ANSWER_MOST ((size_t)1024 * 1024)
#define ROUNDS_MOST 1000

static struct event_base *base;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_len = sizeof address;
static char said[ANSWER_MOST + 1];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  tether_metrics *metrics;
  (void)argc, (void)argv;
  FUZZ_CHECK(tether_metrics_new(&metrics) == TETHER_OK);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  /* An address of the kernel's choice, in no folder. */
  FUZZ_CHECK(bind(fd, (struct sockaddr *)&address, sizeof address.sun_family) == 0);
  FUZZ_CHECK(getsockname(fd, (struct sockaddr *)&address, &address_len) == 0);
  base = event_base_new();
  struct evhttp *http = evhttp_new(base);
  svc_scrape_serve(http, metrics);
  struct evconnlistener *listener = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 16, fd);
  FUZZ_CHECK(listener && evhttp_bind_listener(http, listener));
  return 0;
}

/* Runs until nothing moves. Returns how many bytes have come. */
static size_t run(int fd, size_t heard) {
  int quiet = 0;
  for (int round = 0; quiet < 3; round++) {
    FUZZ_CHECK(round < ROUNDS_MOST);
    event_base_loop(base, EVLOOP_NONBLOCK);
    ssize_t n = recv(fd, said + heard, ANSWER_MOST - heard, MSG_DONTWAIT);
    if (n > 0) heard += (size_t)n;
    quiet = n > 0 ? 0 : quiet + 1;
  }
  return heard;
}

static void say(int fd, const uint8_t *bytes, size_t len) {
  if (len > 0) (void)!send(fd, bytes, len, MSG_NOSIGNAL);
}

/* The first answer; its version is the client's. */
static void check(size_t heard, bool asks) {
  int status = 0;
  FUZZ_CHECK(heard < ANSWER_MOST);
  said[heard] = 0;
  if (heard == 0) return;
  if (sscanf(said, "HTTP/%*[0-9.-] %3d ", &status) != 1) fuzz_fail("not an answer: %.80s", said);
  FUZZ_CHECK(status == 100 || status == 200 || (status >= 400 && status <= 599));
  if (status != 200) return;
  FUZZ_CHECK(asks);
  const char *body = strstr(said, "\r\n\r\n");
  FUZZ_CHECK(body && strncmp(body + 4, "# ", 2) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  fuzz_input in = {input, size};
  size_t first = fuzz_byte(&in);
  if (first == 0 || first > in.left) first = in.left;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  FUZZ_CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, address_len) == 0);
  say(fd, in.at, first);
  size_t heard = run(fd, 0);
  say(fd, in.at + first, in.left - first);
  heard = run(fd, heard);
  check(heard, memmem(in.at, in.left, "GET", 3) && memmem(in.at, in.left, "metrics", 7));
  close(fd);
  event_base_loop(base, EVLOOP_NONBLOCK);
  event_base_loop(base, EVLOOP_NONBLOCK);
  return 0;
}
