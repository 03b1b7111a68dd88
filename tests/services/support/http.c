#include "support/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/process.h"

/* room: for what is received and not read; 0: the system's choice. */
static int connect_with(uint16_t port, int room) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && room) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

int http_connect(uint16_t port) { return connect_with(port, 0); }

bool http_send(int fd, const char *target, const char *headers) {
  char request[4096];
  int len =
      snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", target, headers ? headers : "");
  return len < (int)sizeof request && send(fd, request, (size_t)len, MSG_NOSIGNAL) == len;
}

/* Reads byte by byte up to `end`: the next reply on the connection must stay unread. */
static bool read_until(int fd, const char *end, char *text, size_t size) {
  size_t len = 0, end_len = strlen(end);
  while (len + 1 < size) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, PATIENCE_MS) != 1 || recv(fd, text + len, 1, 0) != 1) return false;
    text[++len] = '\0';
    if (len >= end_len && strcmp(text + len - end_len, end) == 0) return true;
  }
  return false;
}

void http_read(int fd, http_reply *reply) {
  char head[8192] = "";
  size_t len = 0;
  *reply = (http_reply){.status = 0};
  if (!read_until(fd, "\r\n\r\n", head, sizeof head)) return;
  const char *length = strcasestr(head, "\r\nContent-Length: ");
  size_t body = length ? strtoul(length + 18, NULL, 10) : 0;
  while (len < body && body < sizeof reply->body) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&p, 1, PATIENCE_MS) == 1 ? recv(fd, reply->body + len, body - len, 0) : -1;
    if (n <= 0) return;
    len += (size_t)n;
  }
  sscanf(head, "HTTP/1.1 %d", &reply->status);
  reply->json = json_loads(reply->body, 0, NULL);
}

void http_get(uint16_t port, const char *target, const char *headers, http_reply *reply) {
  int fd = http_connect(port);
  *reply = (http_reply){.status = 0};
  if (fd >= 0 && http_send(fd, target, headers)) http_read(fd, reply);
  if (fd >= 0) close(fd);
}

void http_reply_fini(http_reply *reply) {
  json_decref(reply->json);
  reply->json = NULL;
}

/* ---- Streams -------------------------------------------------------------------------------- */

/* The next byte of the connection; -1 at its end. */
static int raw_byte(http_stream *s) {
  if (s->at == s->len) {
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    ssize_t n = poll(&p, 1, PATIENCE_MS) == 1 ? recv(s->fd, s->buffer, sizeof s->buffer, 0) : -1;
    if (n <= 0) return -1;
    s->at = 0;
    s->len = (size_t)n;
  }
  return (unsigned char)s->buffer[s->at++];
}

/* A line that ends in CR LF, without these. */
static bool raw_line(http_stream *s, char *line, size_t size) {
  size_t len = 0;
  for (int c; len + 1 < size && (c = raw_byte(s)) >= 0;) {
    line[len++] = (char)c;
    if (len >= 2 && line[len - 2] == '\r' && line[len - 1] == '\n') {
      line[len - 2] = '\0';
      return true;
    }
  }
  return false;
}

/* Begins the next chunk; false after the last, or if the connection breaks. */
static bool next_chunk(http_stream *s) {
  char line[64];
  if (!raw_line(s, line, sizeof line)) return false;
  s->left = strtoul(line, NULL, 16);
  if (s->left == 0) s->over = raw_line(s, line, sizeof line);
  return s->left > 0;
}

/* The next byte of the body; -1 at its end, or if the connection breaks. */
static int body_byte(http_stream *s) {
  char line[8];
  if (s->left == 0 && (!s->chunked || s->over || !next_chunk(s))) return -1;
  int c = raw_byte(s);
  if (c < 0) return c;
  s->left--;
  if (s->left == 0 && s->chunked && !raw_line(s, line, sizeof line)) return -1;
  if (s->left == 0 && !s->chunked) s->over = true;
  return c;
}

void http_stream_next(http_stream *s) {
  char line[1024];
  size_t len = 0;
  s->status = 0;
  s->over = false;
  s->head[0] = '\0';
  while (raw_line(s, line, sizeof line) && *line && len < sizeof s->head)
    len += (size_t)snprintf(s->head + len, sizeof s->head - len, "%s\n", line);
  const char *length = strcasestr(s->head, "\nContent-Length: ");
  s->chunked = strcasestr(s->head, "\nTransfer-Encoding: chunked\n") != NULL;
  s->left = length ? strtoul(length + 17, NULL, 10) : 0;
  sscanf(s->head, "HTTP/1.1 %d", &s->status);
}

void http_stream_open(http_stream *s, uint16_t port, const char *target, const char *headers) {
  *s = (http_stream){.fd = connect_with(port, 4096)};
  if (s->fd >= 0 && http_send(s->fd, target, headers)) http_stream_next(s);
}

const char *http_stream_line(http_stream *s) {
  size_t len = 0;
  for (int c; (c = body_byte(s)) >= 0 && len + 1 < sizeof s->line;) {
    if (c == '\n') {
      s->line[len] = '\0';
      return s->line;
    }
    s->line[len++] = (char)c;
  }
  return NULL;
}

void http_stream_close(http_stream *s) {
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
}

void http_reset(int fd) {
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

const char *json_text(const json_t *json, const char *path) {
  char key[64];
  while (json) {
    size_t len = strcspn(path, ".");
    snprintf(key, sizeof key, "%.*s", (int)len, path);
    json = json_object_get(json, key);
    if (!path[len]) break;
    path += len + 1;
  }
  return json_is_string(json) ? json_string_value(json) : "";
}
