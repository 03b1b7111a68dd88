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

int http_connect(uint16_t port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

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
