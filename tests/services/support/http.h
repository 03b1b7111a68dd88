/* support/http.h: an HTTP client that can do what good clients do not. */
#ifndef TESTS_SERVICES_HTTP_H
#define TESTS_SERVICES_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A TCP connection to the port on 127.0.0.1; -1 if it is refused. */
int http_connect(uint16_t port);

/* Sends a GET of `target` with more header lines ("a: b\r\n"; may be NULL). */
bool http_send(int fd, const char *target, const char *headers);

typedef struct http_reply {
  int status; /* 0: the connection ended before a whole reply, or nothing came within PATIENCE_MS */
  char body[65536];
  json_t *json; /* NULL if the body is not JSON; the caller's */
} http_reply;

/* Reads one reply. The connection stays open. */
void http_read(int fd, http_reply *reply);

/* Connects, sends, reads and closes. */
void http_get(uint16_t port, const char *target, const char *headers, http_reply *reply);
void http_reply_fini(http_reply *reply);

/* Closes with a reset instead of an orderly end. */
void http_reset(int fd);

/* The string at a path such as "error.code"; "" if it is not there. */
const char *json_text(const json_t *json, const char *path);

#endif
