/* rpc/link_nng_url.c: from a URL and TLS options to nng's dialer or listener. What cannot work is refused here, with
 * the reason, and not at every later attempt to connect. */
#include <arpa/inet.h>
#include <ctype.h>
#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
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

/* What is missing, or NULL. */
static const char *tls_lack(const tether_tls *tls, bool dials) {
  if (dials) {
    if (!tls || !tls->ca_pem) return "TLS needs ca_pem, the roots to trust";
  } else {
    if (!tls || !tls->cert_pem) return "TLS needs cert_pem and key_pem, the server's certificate";
    if (tls->require_client_cert && !tls->ca_pem) return "require_client_cert needs ca_pem, who signs clients";
  }
  if (!tls->cert_pem != !tls->key_pem) return "cert_pem and key_pem go together";
  return NULL;
}

/* A configuration of nng's from ours. The certificate's name is checked unless there is nothing to check it with. */
static tether_code tls_config(const char *url, const tether_tls *tls, const char *host, bool dials,
                              nng_tls_config **config) {
  const char *lack = tls_lack(tls, dials);
  if (lack) return refuse(url, lack);
  nng_tls_config *made;
  int error = nng_tls_config_alloc(&made, dials ? NNG_TLS_MODE_CLIENT : NNG_TLS_MODE_SERVER);
  if (error) return code_of(url, error);
  const char *bad = NULL;
  if (tls->ca_pem && (error = nng_tls_config_ca_chain(made, tls->ca_pem, NULL))) bad = "ca_pem";
  if (!bad && tls->cert_pem && (error = nng_tls_config_own_cert(made, tls->cert_pem, tls->key_pem, NULL)))
    bad = "cert_pem or key_pem";
  if (!bad && dials && (error = nng_tls_config_server_name(made, tls->server_name ? tls->server_name : host)))
    bad = "server_name";
  bool verify = dials || tls->require_client_cert;
  if (!bad && (error = nng_tls_config_auth_mode(made, verify ? NNG_TLS_AUTH_MODE_REQUIRED : NNG_TLS_AUTH_MODE_NONE)))
    bad = "require_client_cert";
  if (bad) {
    nng_tls_config_free(made);
    if (error == NNG_ENOMEM) return TETHER_RESOURCE_EXHAUSTED;
    tth_nng_log(url, "%s cannot be used: %s", bad, nng_strerror(error));
    return TETHER_INVALID_ARGUMENT;
  }
  *config = made;
  return TETHER_OK;
}

/* ---- Both ----------------------------------------------------------------------------------- */

tether_code tth_nng_dialer_alloc(const char *text, const tether_tls *tls, nng_stream_dialer **dialer,
                                 tth_nng_kind *kind) {
  nng_url *url;
  nng_tls_config *config = NULL;
  nng_stream_dialer *made = NULL;
  tether_code code = parse(text, true, &url, kind);
  if (code != TETHER_OK) return code;
  if (kind->tls) code = tls_config(text, tls, url->u_hostname, true, &config);
  int error = code == TETHER_OK ? nng_stream_dialer_alloc_url(&made, url) : 0;
  if (made && config) error = nng_stream_dialer_set_ptr(made, NNG_OPT_TLS_CONFIG, config);
  if (made && !kind->ipc) {
    (void)nng_stream_dialer_set_bool(made, NNG_OPT_TCP_NODELAY, true);
    (void)nng_stream_dialer_set_bool(made, NNG_OPT_TCP_KEEPALIVE, true);
  }
  if (config) nng_tls_config_free(config); /* the dialer has its own hold */
  nng_url_free(url);
  if (error) {
    nng_stream_dialer_free(made);
    return code_of(text, error);
  }
  if (code == TETHER_OK) *dialer = made;
  return code;
}

tether_code tth_nng_listener_alloc(const char *text, const tether_tls *tls, nng_stream_listener **listener,
                                   tth_nng_kind *kind) {
  nng_url *url;
  nng_tls_config *config = NULL;
  nng_stream_listener *made = NULL;
  tether_code code = parse(text, false, &url, kind);
  if (code != TETHER_OK) return code;
  if (kind->tls) code = tls_config(text, tls, url->u_hostname, false, &config);
  int error = code == TETHER_OK ? nng_stream_listener_alloc_url(&made, url) : 0;
  if (made && config) error = nng_stream_listener_set_ptr(made, NNG_OPT_TLS_CONFIG, config);
  if (made && !kind->ipc) {
    (void)nng_stream_listener_set_bool(made, NNG_OPT_TCP_NODELAY, true);
    (void)nng_stream_listener_set_bool(made, NNG_OPT_TCP_KEEPALIVE, true);
  }
  if (config) nng_tls_config_free(config);
  nng_url_free(url);
  if (error) {
    nng_stream_listener_free(made);
    return code_of(text, error);
  }
  if (code == TETHER_OK) *listener = made;
  return code;
}
