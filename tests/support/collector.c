/* One thread, one connection at a time, one request on each. */
#include "tests/support/collector.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY_MOST = 16 << 20, BOUND_MS = 20000, TICK_MS = 10 };

/* ---- HTTP ---------------------------------------------------------------------------------- */

static bool readable(const collector *c, int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  while (!atomic_load(&c->closing))
    if (poll(&p, 1, TICK_MS) > 0) return true;
  return false;
}

/* Up to the empty line; the bytes of the body that came with it are moved to the front. -1: no request. */
static long read_head(collector *c, int fd, char *buf, size_t size) {
  size_t len = 0;
  char *end = NULL;
  while (!end && len < size - 1 && readable(c, fd)) {
    ssize_t n = recv(fd, buf + len, size - 1 - len, 0);
    if (n <= 0) return -1;
    len += (size_t)n;
    buf[len] = '\0';
    end = strstr(buf, "\r\n\r\n");
  }
  if (!end) return -1;
  pthread_mutex_lock(&c->mu);
  snprintf(c->head, sizeof c->head, "%.*s", (int)(end - buf), buf);
  pthread_mutex_unlock(&c->mu);
  long body = (long)(buf + len - end - 4);
  memmove(buf, end + 4, (size_t)body + 1);
  return body;
}

static size_t content_length(collector *c) {
  pthread_mutex_lock(&c->mu);
  const char *line = strcasestr(c->head, "\r\nContent-Length:");
  size_t len = line ? strtoul(line + 17, NULL, 10) : 0;
  pthread_mutex_unlock(&c->mu);
  return len;
}

/* The body, to be freed; NULL if the peer leaves. */
static char *read_body(collector *c, int fd, const char *start, size_t have, size_t *len) {
  *len = content_length(c);
  char *body = *len <= BODY_MOST && have <= *len ? malloc(*len + 1) : NULL;
  if (body) memcpy(body, start, have);
  while (body && have < *len) {
    ssize_t n = readable(c, fd) ? recv(fd, body + have, *len - have, 0) : 0;
    if (n > 0) {
      have += (size_t)n;
    } else {
      free(body);
      body = NULL;
    }
  }
  return body;
}

/* ---- OTLP ---------------------------------------------------------------------------------- */

static const char *service_of(const json_t *resource) {
  const json_t *attributes = json_object_get(json_object_get(resource, "resource"), "attributes");
  for (size_t i = 0; i < json_array_size(attributes); i++) {
    const json_t *a = json_array_get(attributes, i);
    if (strcmp(span_text(a, "key"), "service.name") == 0) return span_text(json_object_get(a, "value"), "stringValue");
  }
  return "";
}

static void keep_locked(collector *c, const json_t *request) {
  const json_t *resources = json_object_get(request, "resourceSpans");
  for (size_t i = 0; i < json_array_size(resources); i++) {
    const json_t *resource = json_array_get(resources, i), *scopes = json_object_get(resource, "scopeSpans");
    for (size_t j = 0; j < json_array_size(scopes); j++) {
      const json_t *spans = json_object_get(json_array_get(scopes, j), "spans");
      for (size_t k = 0; k < json_array_size(spans); k++) {
        json_t *span = json_deep_copy(json_array_get(spans, k));
        json_object_set_new(span, "service", json_string(service_of(resource)));
        json_array_append_new(c->spans, span);
      }
    }
  }
}

static void take(collector *c, const char *body, size_t len, int status) {
  json_t *request = json_loadb(body, len, 0, NULL);
  pthread_mutex_lock(&c->mu);
  if (status == 200) keep_locked(c, request);
  json_decref(c->last);
  c->last = request;
  pthread_mutex_unlock(&c->mu);
  atomic_fetch_add(&c->requests, 1);
}

/* One request; whether another may follow. */
static bool serve(collector *c, int fd) {
  char buf[16384], reply[128];
  long have = read_head(c, fd, buf, sizeof buf);
  size_t len;
  char *body = have >= 0 ? read_body(c, fd, buf, (size_t)have, &len) : NULL;
  if (!body) return false;
  int status = atomic_load(&c->status);
  take(c, body, len, status);
  free(body);
  while (atomic_load(&c->silent) && !atomic_load(&c->closing)) usleep(TICK_MS * 1000);
  bool keeps = atomic_load(&c->keeps);
  int n = snprintf(reply, sizeof reply, "HTTP/1.1 %d X\r\n%sContent-Length: 2\r\n\r\n{}", status,
                   keeps ? "" : "Connection: close\r\n");
  return send(fd, reply, (size_t)n, MSG_NOSIGNAL) == n && keeps;
}

static void *run(void *data) {
  collector *c = data;
  while (readable(c, c->fd)) {
    int fd = accept(c->fd, NULL, NULL);
    if (fd < 0) continue;
    atomic_fetch_add(&c->connections, 1);
    while (serve(c, fd)) continue;
    close(fd);
  }
  return NULL;
}

bool collector_open(collector *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  memset(c, 0, sizeof *c);
  atomic_store(&c->status, 200);
  pthread_mutex_init(&c->mu, NULL);
  c->spans = json_array();
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&address, len) != 0 || listen(c->fd, 64) != 0 ||
      getsockname(c->fd, (struct sockaddr *)&address, &len) != 0)
    return false;
  c->port = ntohs(address.sin_port);
  return pthread_create(&c->thread, NULL, run, c) == 0;
}

void collector_close(collector *c) {
  atomic_store(&c->closing, true);
  pthread_join(c->thread, NULL);
  close(c->fd);
  json_decref(c->spans);
  json_decref(c->last);
  pthread_mutex_destroy(&c->mu);
}

const char *collector_url(const collector *c, char url[64]) {
  snprintf(url, 64, "http://127.0.0.1:%u", c->port);
  return url;
}

/* ---- Asking -------------------------------------------------------------------------------- */

bool collector_wait_spans(collector *c, size_t count) {
  size_t have = 0;
  for (int waited = 0; have < count && waited < BOUND_MS; waited += TICK_MS) {
    pthread_mutex_lock(&c->mu);
    have = json_array_size(c->spans);
    pthread_mutex_unlock(&c->mu);
    if (have < count) usleep(TICK_MS * 1000);
  }
  return have >= count;
}

bool collector_wait_requests(collector *c, int count) {
  for (int waited = 0; atomic_load(&c->requests) < count && waited < BOUND_MS; waited += TICK_MS)
    usleep(TICK_MS * 1000);
  return atomic_load(&c->requests) >= count;
}

json_t *collector_span(collector *c, const char *name, int kind, const char *service, const char *trace) {
  json_t *found = NULL;
  pthread_mutex_lock(&c->mu);
  for (size_t i = 0; !found && i < json_array_size(c->spans); i++) {
    const json_t *span = json_array_get(c->spans, i);
    if (strcmp(span_text(span, "name"), name) != 0 || json_integer_value(json_object_get(span, "kind")) != kind)
      continue;
    if (service && strcmp(span_text(span, "service"), service) != 0) continue;
    if (!trace || strcmp(span_text(span, "traceId"), trace) == 0) found = json_deep_copy(span);
  }
  pthread_mutex_unlock(&c->mu);
  return found;
}

const char *span_text(const json_t *span, const char *member) {
  const char *text = json_string_value(json_object_get(span, member));
  return text ? text : "";
}

const char *span_attribute(const json_t *span, const char *key) {
  const json_t *attributes = json_object_get(span, "attributes");
  for (size_t i = 0; i < json_array_size(attributes); i++) {
    const json_t *a = json_array_get(attributes, i), *value = json_object_get(a, "value");
    if (strcmp(span_text(a, "key"), key) != 0) continue;
    return json_object_get(value, "intValue") ? span_text(value, "intValue") : span_text(value, "stringValue");
  }
  return "";
}
