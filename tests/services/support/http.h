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

/* A reply that is read while it comes. */
typedef struct http_stream {
  int fd;
  int status;         /* 0: no reply came */
  char head[4096];    /* its status line and headers */
  bool chunked, over; /* over: the body has ended in good order */
  size_t left;        /* bytes left of the chunk at hand, or of the body */
  size_t at, len;
  char line[16384];
  char buffer[16384];
} http_stream;

/* Connects, with little room in the kernel for what is not read yet, sends a GET and reads the reply's head. */
void http_stream_open(http_stream *stream, uint16_t port, const char *target, const char *headers);

/* Reads the head of the next reply on the connection. */
void http_stream_next(http_stream *stream);

/* The next line of the body, without its end; NULL at the end of the body, if the connection breaks, or if nothing
 * comes within PATIENCE_MS. Valid until the next call. */
const char *http_stream_line(http_stream *stream);

void http_stream_close(http_stream *stream);

/* Closes with a reset instead of an orderly end. */
void http_reset(int fd);

/* The string at a path such as "error.code"; "" if it is not there. */
const char *json_text(const json_t *json, const char *path);

#endif
