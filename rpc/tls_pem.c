/* From PEM text to an SSL_CTX. Keys that need a password that nobody gave are refused, never asked for at a terminal.
 */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "rpc/tls.h"

SSL_CTX *tth_tls_context_new(bool client) {
  SSL_CTX *ctx = SSL_CTX_new(client ? TLS_client_method() : TLS_server_method());
  if (!ctx) return NULL;
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  /* No resumption: a resumed session would not be checked against what is trusted now. */
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_num_tickets(ctx, 0);
  /* What is given as an authority is trusted, the root of a chain or not. */
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
  return ctx;
}

static bool refuse(tth_tls_why *why, const char *what) {
  snprintf(why->text, sizeof why->text, "%s", what);
  ERR_clear_error();
  return false;
}

static BIO *text_bio(const char *text) {
  size_t len = strlen(text);
  return len <= INT_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
}

bool tth_tls_trust(SSL_CTX *ctx, const char *pem, tth_tls_why *why) {
  ERR_clear_error();
  BIO *bio = text_bio(pem);
  STACK_OF(X509_INFO) *infos = bio ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
  BIO_free(bio);
  X509_STORE *store = SSL_CTX_get_cert_store(ctx);
  int certificates = 0, lists = 0;
  bool good = true;
  for (int i = 0; infos && i < sk_X509_INFO_num(infos); i++) {
    const X509_INFO *info = sk_X509_INFO_value(infos, i);
    if (info->x509) {
      certificates++;
      good = good && X509_STORE_add_cert(store, info->x509) && SSL_CTX_add_client_CA(ctx, info->x509);
    }
    if (info->crl) {
      lists++;
      good = good && X509_STORE_add_crl(store, info->crl);
    }
  }
  sk_X509_INFO_pop_free(infos, X509_INFO_free);
  if (!infos || !good) return refuse(why, "not PEM, or damaged");
  if (certificates == 0) return refuse(why, "there is no certificate in it");
  if (lists > 0) X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  return true;
}

/* Instead of OpenSSL's own, which asks at the terminal. */
static int give_password(char *buffer, int size, int writing, void *data) {
  const char *password = data;
  (void)writing;
  size_t len = password ? strlen(password) : 0;
  if (!password || len > (size_t)size) return -1;
  for (size_t i = 0; i < len; i++) buffer[i] = password[i]; /* no NUL behind it */
  return (int)len;
}

/* The certificates after the first. */
static bool add_chain(SSL_CTX *ctx, BIO *bio) {
  for (X509 *x509; (x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL));) {
    if (SSL_CTX_add0_chain_cert(ctx, x509)) continue;
    X509_free(x509);
    return false;
  }
  bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  return end;
}

static bool use_certificate(SSL_CTX *ctx, const char *cert) {
  BIO *bio = text_bio(cert);
  X509 *x509 = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
  bool good = x509 && SSL_CTX_use_certificate(ctx, x509) == 1;
  X509_free(x509);
  good = good && add_chain(ctx, bio);
  BIO_free(bio);
  return good;
}

static EVP_PKEY *read_key(const char *text, const char *password) {
  BIO *bio = text_bio(text);
  EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_password, (void *)(uintptr_t)password) : NULL;
  BIO_free(bio);
  return key;
}

bool tth_tls_own(SSL_CTX *ctx, const char *cert, const char *key_text, const char *password, tth_tls_why *why) {
  ERR_clear_error();
  if (!use_certificate(ctx, cert)) return refuse(why, "no certificate in it that can be used, or a damaged one");
  EVP_PKEY *key = read_key(key_text, password);
  if (!key) return refuse(why, "its key cannot be read: not PEM, damaged, or encrypted");
  bool fits = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
  EVP_PKEY_free(key);
  return fits || refuse(why, "the key belongs to another certificate");
}

bool tth_tls_own_is_current(SSL_CTX *ctx, tth_tls_why *why) {
  const X509 *x509 = SSL_CTX_get0_certificate(ctx);
  if (!x509) return true;
  if (X509_cmp_current_time(X509_get0_notAfter(x509)) < 0) return refuse(why, "our certificate has expired; renew it");
  if (X509_cmp_current_time(X509_get0_notBefore(x509)) > 0)
    return refuse(why, "our certificate is not valid yet; is this host's clock right?");
  return true;
}
