/* rpc/link_nng_url.c: from a URL and TLS options to nng's dialer or listener. What cannot work is refused here, with
 * the reason, and not at every later attempt to connect. */
#include <arpa/inet.h>
#include <ctype.h>
#include <nng/nng.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "rpc/link_nng.h"

void tth_nng_log(const char *url, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fprintf(stderr, "tether: %s: %s\n", url, text); /* one call, so that lines of threads do not mix */
}

const char *tth_nng_why(int error) {
  switch (error) {
    case NNG_ECONNSHUT:
    case NNG_ECLOSED:
    case NNG_ECONNRESET:
      return "closed by the peer";
    case NNG_ECONNREFUSED:
      return "connection refused";
    case NNG_ETIMEDOUT:
      return "timed out";
    case NNG_ECRYPTO:
      return "TLS failed";
    case NNG_EPEERAUTH:
      return "TLS: the certificate is not accepted";
    default:
      return nng_strerror(error);
  }
}

static tether_code refuse(const char *url, const char *why) {
  tth_nng_log(url, "%s", why);
  return TETHER_INVALID_ARGUMENT;
}

static tether_code code_of(const char *url, int error) {
  if (error == NNG_ENOMEM) return TETHER_RESOURCE_EXHAUSTED;
  return refuse(url, tth_nng_why(error));
}

/* ---- Addresses ------------------------------------------------------------------------------ */

bool tth_nng_unix_identity(nng_stream *stream, tether_identity *identity) {
  uint64_t uid, gid, pid = 0;
  if (nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_UID, &uid) != 0 ||
      nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_GID, &gid) != 0)
    return false;
  (void)nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_PID, &pid);
  *identity =
      (tether_identity){.kind = TETHER_IDENTITY_UNIX, .uid = (uint32_t)uid, .gid = (uint32_t)gid, .pid = (int32_t)pid};
  return true;
}

void tth_nng_name_peer(nng_stream *stream, tth_nng_kind kind, char *name, size_t size) {
  nng_sockaddr address;
  uint64_t pid;
  char host[INET6_ADDRSTRLEN] = "";
  snprintf(name, size, "unknown peer");
  if (kind.ipc) {
    if (nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_PID, &pid) == 0)
      snprintf(name, size, "pid %llu", (unsigned long long)pid);
    return;
  }
  if (nng_stream_get_addr(stream, NNG_OPT_REMADDR, &address) != 0) return;
  if (address.s_family == NNG_AF_INET) {
    inet_ntop(AF_INET, &address.s_in.sa_addr, host, sizeof host);
    snprintf(name, size, "%s:%u", host, ntohs(address.s_in.sa_port));
  } else if (address.s_family == NNG_AF_INET6) {
    inet_ntop(AF_INET6, address.s_in6.sa_addr, host, sizeof host);
    snprintf(name, size, "[%s]:%u", host, ntohs(address.s_in6.sa_port));
  }
}

/* ---- URLs ----------------------------------------------------------------------------------- */

static bool kind_of_scheme(const char *scheme, tth_nng_kind *kind) {
  static const struct {
    const char *scheme;
    tth_nng_kind kind;
  } schemes[] = {
      {"ipc", {.ipc = true}},
      {"unix", {.ipc = true}},
      {"abstract", {.ipc = true}},
      {"tcp", {0}},
      {"tcp4", {0}},
      {"tcp6", {0}},
      {"tls+tcp", {.tls = true}},
      {"tls+tcp4", {.tls = true}},
      {"tls+tcp6", {.tls = true}},
      {"ws", {.ws = true}},
      {"wss", {.tls = true, .ws = true}},
  };
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
    if (strcmp(scheme, schemes[i].scheme) != 0) continue;
    *kind = schemes[i].kind;
    return true;
  }
  return false;
}

static bool is_port(const char *text) {
  unsigned value = 0;
  if (!text || !*text) return false;
  for (; *text; text++) {
    if (!isdigit((unsigned char)*text) || (value = value * 10 + (unsigned)(*text - '0')) > 65535) return false;
  }
  return true;
}

/* Parses and checks `text`. On TETHER_OK *url is the caller's. */
static tether_code parse(const char *text, bool dials, nng_url **url, tth_nng_kind *kind) {
  if (!text) return refuse("(no URL)", "a URL is needed");
  nng_url *parsed;
  int error = nng_url_parse(&parsed, text);
  if (error == NNG_ENOMEM) return TETHER_RESOURCE_EXHAUSTED;
  if (error) return refuse(text, "not a URL (want ipc:///path or tcp://host:port)");
  const char *why = NULL;
  if (!kind_of_scheme(parsed->u_scheme, kind)) {
    why = "unknown scheme (want ipc, tcp, tls+tcp, ws or wss)";
  } else if (kind->ipc) {
    if (!parsed->u_path || !*parsed->u_path)
      why = "no path";
    else if (strlen(parsed->u_path) >= sizeof((struct sockaddr_un *)0)->sun_path)
      why = "the path is too long for a socket (107 bytes)";
  } else if (!is_port(parsed->u_port)) {
    why = "no port, or not a port";
  } else if (dials && (!*parsed->u_hostname || strcmp(parsed->u_hostname, "*") == 0)) {
    why = "no host to connect to";
  } else if (dials && strspn(parsed->u_port, "0") == strlen(parsed->u_port)) {
    why = "port 0 cannot be connected to";
  }
  if (why) {
    nng_url_free(parsed);
    return refuse(text, why);
  }
  *url = parsed;
  return TETHER_OK;
}

/* ---- TLS ------------------------------------------------------------------------------------ */

/* A configuration of nng's for `url`, if that is one of TLS. */
static tether_code secure(const char *text, const nng_url *url, tth_nng_kind kind, tth_tls *tls, bool dials,
                          tth_nng_tls *secured) {
  if (!kind.tls) return TETHER_OK;
  if (!tls) return refuse(text, "the URL is one of TLS, and there are no TLS options (tether/tls.h)");
  const char *name = tth_tls_server_name(tls);
  if (!name) name = url->u_hostname;
  tether_code code = tth_nng_tls_open(tls, dials, dials ? name : NULL, !dials && kind.ws ? text : NULL, secured);
  return code == TETHER_UNIMPLEMENTED ? refuse(text, "this nng was built without TLS") : code;
}

/* ---- Both ----------------------------------------------------------------------------------- */

tether_code tth_nng_dialer_alloc(const char *text, tth_tls *tls, nng_stream_dialer **dialer, tth_nng_kind *kind,
                                 tth_nng_tls *secured) {
  nng_url *url;
  nng_stream_dialer *made = NULL;
  tether_code code = parse(text, true, &url, kind);
  if (code != TETHER_OK) return code;
  code = secure(text, url, *kind, tls, true, secured);
  int error = code == TETHER_OK ? nng_stream_dialer_alloc_url(&made, url) : 0;
  if (made && kind->tls) error = nng_stream_dialer_set_ptr(made, NNG_OPT_TLS_CONFIG, secured->config);
  if (made && !kind->ipc) {
    (void)nng_stream_dialer_set_bool(made, NNG_OPT_TCP_NODELAY, true);
    (void)nng_stream_dialer_set_bool(made, NNG_OPT_TCP_KEEPALIVE, true);
  }
  nng_url_free(url);
  if (error) code = code_of(text, error);
  if (code == TETHER_OK) {
    *dialer = made;
  } else {
    nng_stream_dialer_free(made);
    tth_nng_tls_close(secured);
  }
  return code;
}

tether_code tth_nng_listener_alloc(const char *text, tth_tls *tls, nng_stream_listener **listener, tth_nng_kind *kind,
                                   tth_nng_tls *secured) {
  nng_url *url;
  nng_stream_listener *made = NULL;
  tether_code code = parse(text, false, &url, kind);
  if (code != TETHER_OK) return code;
  code = secure(text, url, *kind, tls, false, secured);
  int error = code == TETHER_OK ? nng_stream_listener_alloc_url(&made, url) : 0;
  if (made && kind->tls) error = nng_stream_listener_set_ptr(made, NNG_OPT_TLS_CONFIG, secured->config);
  if (made && !kind->ipc) {
    (void)nng_stream_listener_set_bool(made, NNG_OPT_TCP_NODELAY, true);
    (void)nng_stream_listener_set_bool(made, NNG_OPT_TCP_KEEPALIVE, true);
  }
  nng_url_free(url);
  if (error) code = code_of(text, error);
  if (code == TETHER_OK) {
    *listener = made;
  } else {
    nng_stream_listener_free(made);
    tth_nng_tls_close(secured);
  }
  return code;
}
