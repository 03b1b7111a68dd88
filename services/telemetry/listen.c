#include "telemetry/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct evhttp_bound_socket *svc_http_listen(struct evhttp *http, const char *option, const char *at, char url[128]) {
  char host[256], bound_host[INET_ADDRSTRLEN] = "?";
  const char *colon = strrchr(at, ':');
  char *end = NULL;
  unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
  if (!colon || end == colon + 1 || *end || port > 65535) {
    svc_log_note("error", "--%s %s: not of the form HOST:PORT", option, at);
    return NULL;
  }
  snprintf(host, sizeof host, "%.*s", (int)(colon - at), at);
  struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, host, (unsigned short)port);
  if (!bound) {
    svc_log_note("error", "cannot listen on %s: %s", at, strerror(errno));
    return NULL;
  }
  struct sockaddr_in address = {0};
  socklen_t len = sizeof address;
  getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &len);
  inet_ntop(AF_INET, &address.sin_addr, bound_host, sizeof bound_host);
  snprintf(url, 128, "http://%s:%u", bound_host, ntohs(address.sin_port));
  return bound;
}
