/* The fixture of tests with certificates: made once for all tests of a program, with standard error caught in each.
 * Run them with cmocka_run_group_tests(tests, tls_group_setup, tls_group_teardown). */
#ifndef TESTS_SUPPORT_TLS_TEST_H
#define TESTS_SUPPORT_TLS_TEST_H

/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/certificates.h"
#include "tests/support/raw_peer.h"

static tst_certificates certificates;
static tst_stderr caught;

static inline int tls_group_setup(void **state) {
  (void)state;
  return tst_certificates_make(&certificates) ? 0 : -1;
}

static inline int tls_group_teardown(void **state) {
  (void)state;
  tst_certificates_free(&certificates);
  return 0;
}

static inline int tls_setup(void **state) {
  (void)state;
  return tst_stderr_catch(&caught) ? 0 : -1;
}

static inline int tls_teardown(void **state) {
  (void)state;
  tst_stderr_release(&caught);
  return 0;
}

#define with_certificates(test) \
  { #test, test, tls_setup, tls_teardown, NULL }

/* A server with our certificate, a client that believes our authority. */
static inline tether_tls tls_of_server(void) {
  return (tether_tls){.cert_pem = certificates.cert, .key_pem = certificates.key};
}

static inline tether_tls tls_of_client(void) { return (tether_tls){.ca_pem = certificates.ca}; }

#endif
