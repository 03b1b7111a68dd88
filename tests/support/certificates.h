/* Certificates for tests of TLS, made on the spot. */
#ifndef TETHER_TESTS_CERTIFICATES_H
#define TETHER_TESTS_CERTIFICATES_H

#include <tether/base.h>

#include "rpc/tls.h"

/* A certificate and its private key, PEM. */
typedef struct tst_certificate {
  char *pem, *key;
} tst_certificate;

/* What a certificate is to say. */
typedef struct tst_certificate_of {
  const tst_certificate *issuer; /* NULL: itself */
  const char *common_name;
  const char *alternative_names; /* "DNS:localhost,URI:spiffe://x/y,IP:127.0.0.1"; NULL: none */
  const char *usage;             /* "serverAuth"; NULL: not limited */
  bool authority;
  int64_t from_s, until_s; /* from now; both 0: an hour ago until tomorrow */
} tst_certificate_of;

TETHER_MUST_USE bool tst_certificate_make(const tst_certificate_of *of, tst_certificate *certificate);
void tst_certificate_free(tst_certificate *certificate);

/* A list of the certificates of `issuer` that it has revoked: the one given. PEM, to be freed. */
TETHER_MUST_USE char *tst_certificate_revoke(const tst_certificate *issuer, const tst_certificate *revoked);

/* Two authorities, and, signed by the first, a server's certificate for "localhost" and a client's, which is
 * CN=client, DNS:client.test and URI:spiffe://test/client. */
typedef struct tst_certificates {
  tst_certificate authority, other_authority, server, client;
  const char *ca, *other_ca, *cert, *key; /* short for some of that */
} tst_certificates;

TETHER_MUST_USE bool tst_certificates_make(tst_certificates *certificates);
void tst_certificates_free(tst_certificates *certificates);

/* A directory of one's own, and files in it. */
TETHER_MUST_USE bool tst_dir_make(char dir[64]);
TETHER_MUST_USE bool tst_dir_write(const char *dir, const char *name, const char *text);
TETHER_MUST_USE bool tst_dir_remove(const char *dir);

/* Credentials from options that work; NULL: they do not. `options` may be NULL, for NULL. */
TETHER_MUST_USE bool tst_tls_open(const tether_tls *options, bool client, tth_tls **tls);

#endif
