/* tether/tls.h: certificates and trust for tls+tcp:// and wss:// URLs.
 *
 * What holds without further options: TLS 1.2 or newer; a client checks that the server's certificate is signed by one
 * of its authorities, is valid now, and is for the name it wanted to reach (docs/security.md). */
#ifndef TETHER_TLS_H
#define TETHER_TLS_H

#include <tether/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_client tether_client;
typedef struct tether_server tether_server;

typedef enum tether_tls_version {
  TETHER_TLS_DEFAULT = 0, /* 1.2 */
  TETHER_TLS_1_2 = 12,
  TETHER_TLS_1_3 = 13,
} tether_tls_version;

/* Each text is PEM, and comes from the program (`..._pem`) or from a file of up to 1 MiB (`..._file`), not from both.
 * Everything is copied. */
typedef struct tether_tls {
  const char *ca_pem;      /* trusted authorities, and their revocation lists if there are any. Client: */
  const char *ca_file;     /* needed. Server: who signs clients; given, a certificate that a client shows is checked */
  const char *cert_pem;    /* own certificate, followed by what leads to an authority; server: needed */
  const char *cert_file;   /* */
  const char *key_pem;     /* its private key, not encrypted */
  const char *key_file;    /* */
  const char *server_name; /* client: the name that the server's certificate must have, a DNS name or an IP address;
                              NULL: the URL's host */
  tether_tls_version min_version; /* the oldest version that is spoken */
  bool require_client_cert;       /* server: refuse clients without a valid certificate; needs ca */
  bool insecure_no_server_check;  /* client: talk to whoever answers, encrypted. Against listeners only: whoever is on
                                     the way can answer, and gets what is sent, tokens too. Goes without ca */
} tether_tls;

/* Reads the files of `ca_file`, `cert_file` and `key_file` again. New connections use what they hold now; those that
 * exist go on as they are. Any thread; blocks for reading. TETHER_INVALID_ARGUMENT: one of them cannot be used, or
 * holds a certificate that has expired or is not valid yet: nothing is changed, and the reason goes to standard error.
 * TETHER_FAILED_PRECONDITION: opened without TLS options. TETHER_RESOURCE_EXHAUSTED: no memory; nothing is changed. */
TETHER_API TETHER_MUST_USE tether_code tether_client_reload_tls(tether_client *client);
TETHER_API TETHER_MUST_USE tether_code tether_server_reload_tls(tether_server *server);

#ifdef __cplusplus
}
#endif
#endif
