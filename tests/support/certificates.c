#include "tests/support/certificates.h"

#include <ftw.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- From and to PEM ------------------------------------------------------------------------ */

static char *text_of(BIO *bio) {
  char *bytes, *text;
  long len = BIO_get_mem_data(bio, &bytes);
  text = len > 0 ? strndup(bytes, (size_t)len) : NULL;
  BIO_free(bio);
  return text;
}

static X509 *read_certificate(const tst_certificate *certificate) {
  BIO *bio = BIO_new_mem_buf(certificate->pem, -1);
  X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
  BIO_free(bio);
  return x509;
}

static EVP_PKEY *read_key(const tst_certificate *certificate) {
  BIO *bio = BIO_new_mem_buf(certificate->key, -1);
  EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
  BIO_free(bio);
  return key;
}

/* ---- Making one ----------------------------------------------------------------------------- */

static bool add_extension(X509 *x509, X509 *issuer, int nid, const char *value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
  X509_EXTENSION *extension = value ? X509V3_EXT_conf_nid(NULL, &ctx, nid, value) : NULL;
  bool added = !value || (extension && X509_add_ext(x509, extension, -1));
  X509_EXTENSION_free(extension);
  return added;
}

static bool fill(X509 *x509, X509 *issuer, const tst_certificate_of *of) {
  bool always = of->from_s == 0 && of->until_s == 0;
  uint32_t serial = 0;
  FILE *random = fopen("/dev/urandom", "re");
  if (!random || fread(&serial, sizeof serial, 1, random) != 1) abort();
  fclose(random);
  return X509_set_version(x509, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x509), 1 + serial / 2) &&
         X509_gmtime_adj(X509_getm_notBefore(x509), (long)(always ? -3600 : of->from_s)) &&
         X509_gmtime_adj(X509_getm_notAfter(x509), (long)(always ? 86400 : of->until_s)) &&
         X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                                    (const unsigned char *)of->common_name, -1, -1, 0) &&
         X509_set_issuer_name(x509, X509_get_subject_name(issuer)) &&
         add_extension(x509, issuer, NID_basic_constraints, of->authority ? "critical,CA:TRUE" : NULL) &&
         add_extension(x509, issuer, NID_ext_key_usage, of->usage) &&
         add_extension(x509, issuer, NID_subject_alt_name, of->alternative_names);
}

bool tst_certificate_make(const tst_certificate_of *of, tst_certificate *certificate) {
  EVP_PKEY *key = EVP_EC_gen("P-256"), *signer = of->issuer ? read_key(of->issuer) : key;
  X509 *x509 = X509_new(), *issuer = of->issuer ? read_certificate(of->issuer) : x509;
  bool made = key && signer && x509 && issuer && X509_set_pubkey(x509, key) && fill(x509, issuer, of) &&
              X509_sign(x509, signer, EVP_sha256()) > 0;
  BIO *pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_mem());
  made = made && PEM_write_bio_X509(pem, x509) && PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL);
  *certificate = (tst_certificate){.pem = text_of(pem), .key = text_of(key_pem)};
  if (of->issuer) {
    EVP_PKEY_free(signer);
    X509_free(issuer);
  }
  EVP_PKEY_free(key);
  X509_free(x509);
  return made;
}

void tst_certificate_free(tst_certificate *certificate) {
  free(certificate->pem);
  free(certificate->key);
}

char *tst_certificate_revoke(const tst_certificate *issuer, const tst_certificate *revoked) {
  X509 *by = read_certificate(issuer), *what = read_certificate(revoked);
  EVP_PKEY *key = read_key(issuer);
  X509_CRL *list = X509_CRL_new();
  X509_REVOKED *entry = X509_REVOKED_new();
  ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *later = X509_gmtime_adj(NULL, 86400);
  X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(what));
  X509_REVOKED_set_revocationDate(entry, now);
  bool made = X509_CRL_set_version(list, 1) && X509_CRL_set_issuer_name(list, X509_get_subject_name(by)) &&
              X509_CRL_set1_lastUpdate(list, now) && X509_CRL_set1_nextUpdate(list, later) &&
              X509_CRL_add0_revoked(list, entry) && X509_CRL_sort(list) && X509_CRL_sign(list, key, EVP_sha256()) > 0;
  BIO *pem = BIO_new(BIO_s_mem());
  made = made && PEM_write_bio_X509_CRL(pem, list);
  char *text = text_of(pem);
  ASN1_TIME_free(now);
  ASN1_TIME_free(later);
  X509_CRL_free(list);
  EVP_PKEY_free(key);
  X509_free(by);
  X509_free(what);
  if (made) return text;
  free(text);
  return NULL;
}

/* ---- The usual ones ------------------------------------------------------------------------- */

bool tst_certificates_make(tst_certificates *c) {
  *c = (tst_certificates){.ca = NULL};
  bool made =
      tst_certificate_make(&(tst_certificate_of){.common_name = "ca", .authority = true}, &c->authority) &&
      tst_certificate_make(&(tst_certificate_of){.common_name = "other", .authority = true}, &c->other_authority) &&
      tst_certificate_make(
          &(tst_certificate_of){.issuer = &c->authority, .common_name = "server", .alternative_names = "DNS:localhost"},
          &c->server) &&
      tst_certificate_make(&(tst_certificate_of){.issuer = &c->authority,
                                                 .common_name = "client",
                                                 .alternative_names = "DNS:client.test,URI:spiffe://test/client"},
                           &c->client);
  c->ca = c->authority.pem;
  c->other_ca = c->other_authority.pem;
  c->cert = c->server.pem;
  c->key = c->server.key;
  return made;
}

void tst_certificates_free(tst_certificates *c) {
  tst_certificate_free(&c->authority);
  tst_certificate_free(&c->other_authority);
  tst_certificate_free(&c->server);
  tst_certificate_free(&c->client);
}

/* ---- Files ---------------------------------------------------------------------------------- */

bool tst_dir_make(char dir[64]) {
  strcpy(dir, "/tmp/tether-test-XXXXXX");
  return mkdtemp(dir);
}

bool tst_dir_write(const char *dir, const char *name, const char *text) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "we");
  bool written = file && fputs(text, file) >= 0;
  return file && fclose(file) == 0 && written;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk) {
  (void)status;
  (void)flag;
  (void)walk;
  return remove(path);
}

bool tst_dir_remove(const char *dir) { return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0; }

bool tst_tls_open(const tether_tls *options, bool client, tth_tls **tls) {
  *tls = NULL;
  return !options || tth_tls_open(options, client, tls) == TETHER_OK;
}
