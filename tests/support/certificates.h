/* Certificates for tests of TLS, made on the spot with openssl. */
#ifndef TETHER_TESTS_CERTIFICATES_H
#define TETHER_TESTS_CERTIFICATES_H

#include <tether/base.h>

/* PEM texts: two authorities, and a server's certificate for "localhost" signed by the first. */
typedef struct tst_certificates {
  char dir[64];
  char *ca, *other_ca, *cert, *key;
} tst_certificates;

TETHER_MUST_USE bool tst_certificates_make(tst_certificates *certificates);
TETHER_MUST_USE bool tst_certificates_remove(tst_certificates *certificates);

#endif
