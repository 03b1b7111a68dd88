/* A program that knows the library only as installed: a span reaches a collector, which is a thread of its own. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tether/ctx.h>
#include <tether/otlp.h>
#include <unistd.h>

/* Whether all has come that the headers announce. */
static bool is_whole(const char *request, size_t len) {
  const char *length = strstr(request, "Content-Length: "), *body = strstr(request, "\r\n\r\n");
  return length && body && len >= (size_t)(body + 4 - request) + strtoul(length + 16, NULL, 10);
}

/* Takes one request. */
static void *collect(void *listener) {
  static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
  static char request[65536];
  size_t len = 0;
  int fd = accept(*(int *)listener, NULL, NULL);
  while (!is_whole(request, len)) {
    ssize_t n = recv(fd, request + len, sizeof request - 1 - len, 0);
    if (n <= 0) break;
    len += (size_t)n;
  }
  if (strstr(request, "outside span") && send(fd, reply, sizeof reply - 1, 0) < 0) perror("send");
  close(fd);
  return NULL;
}

static int listen_on(unsigned *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(fd, (struct sockaddr *)&address, len) || listen(fd, 1) || getsockname(fd, (struct sockaddr *)&address, &len))
    return -1;
  *port = ntohs(address.sin_port);
  return fd;
}

int main(void) {
  unsigned port;
  char url[64];
  pthread_t thread;
  tether_otlp *otlp;
  int listener = listen_on(&port);
  if (listener < 0) return 1;
  snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
  setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url, 1);
  setenv("OTEL_BSP_SCHEDULE_DELAY", "1", 1);
  if (tether_otlp_open("outside", &otlp) != TETHER_OK || !otlp) return 1;
  if (pthread_create(&thread, NULL, collect, &listener) != 0) return 1;
  tether_otlp_span span = {.name = "outside span", .kind = TETHER_SPAN_INTERNAL, .start_unix_ns = 1, .end_unix_ns = 2};
  span.trace.trace_id[0] = span.trace.span_id[0] = 1;
  tether_otlp_add(otlp, &span);
  tether_otlp_stats stats = {0};
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 30 * TETHER_SEC);
  do tether_otlp_get_stats(otlp, &stats);
  while (stats.exported == 0 && tether_ctx_sleep(ctx, TETHER_MS) == TETHER_OK);
  printf("exported %llu\n", (unsigned long long)stats.exported);
  tether_otlp_close(otlp);
  pthread_join(thread, NULL);
  close(listener);
  return stats.exported == 1 ? 0 : 1;
}
