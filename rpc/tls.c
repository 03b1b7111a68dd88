/* Credentials of a client or server. Happy path: options copied -> files read -> an SSL_CTX that nobody changes any
 * more, of which each new connection takes a reference. A reload makes another from the same options and puts it in the
 * place of the first; connections that exist keep theirs. Failures: whatever cannot be used is named with its option,
 * its file and what is wrong, and at a reload the old SSL_CTX stays. */
#include "rpc/tls.h"

#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/text_file.h"

/* The texts of the options, in pairs: from the program, from a file. */
enum { CA, CERT, KEY, TEXTS };
static const char *const text_names[TEXTS] = {"ca", "cert", "key"};

struct tth_tls {
  _Atomic unsigned refs;
  /* fixed */
  bool client, require_client_cert, no_server_check;
  int min_version;
  char *pem[TEXTS], *file[TEXTS];
  char *server_name;

  pthread_mutex_t lock;
  SSL_CTX *ctx; /* under lock */
};

static void release_text(char *text) {
  if (text) OPENSSL_cleanse(text, strlen(text)); /* it may be a key */
  free(text);
}

static void release(tth_tls *tls) {
  for (int i = 0; i < TEXTS; i++) {
    release_text(tls->pem[i]);
    free(tls->file[i]);
  }
  free(tls->server_name);
  SSL_CTX_free(tls->ctx);
  pthread_mutex_destroy(&tls->lock);
  free(tls);
}

tth_tls *tth_tls_ref(tth_tls *tls) {
  if (tls) atomic_fetch_add(&tls->refs, 1);
  return tls;
}

void tth_tls_unref(tth_tls *tls) {
  if (tls && atomic_fetch_sub(&tls->refs, 1) == 1) release(tls);
}

const char *tth_tls_server_name(const tth_tls *tls) { return tls->server_name; }

SSL_CTX *tth_tls_context(tth_tls *tls) {
  pthread_mutex_lock(&tls->lock);
  SSL_CTX *ctx = tls->ctx;
  SSL_CTX_up_ref(ctx);
  pthread_mutex_unlock(&tls->lock);
  return ctx;
}

/* Puts the name of the option, and of the file, before what is wrong with it. */
static bool blame(const tth_tls *tls, int which, tth_tls_why *why) {
  tth_tls_why plain = *why;
  if (tls->file[which])
    snprintf(why->text, sizeof why->text, "%s_file %.100s: %.140s", text_names[which], tls->file[which], plain.text);
  else
    snprintf(why->text, sizeof why->text, "%s_pem: %.200s", text_names[which], plain.text);
  return false;
}

/* ---- From options to a context ------------------------------------------------------------- */

static int verify_mode(const tth_tls *tls, bool has_ca) {
  if (tls->client) return tls->no_server_check ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
  if (!has_ca) return SSL_VERIFY_NONE;
  return SSL_VERIFY_PEER | (tls->require_client_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
}

static bool fill(tth_tls *tls, SSL_CTX *ctx, char *const texts[TEXTS], tth_tls_why *why) {
  if (tls->min_version && !SSL_CTX_set_min_proto_version(ctx, tls->min_version)) {
    snprintf(why->text, sizeof why->text, "min_version: this OpenSSL does not speak it");
    return false;
  }
  if (texts[CA] && !tth_tls_trust(ctx, texts[CA], why)) return blame(tls, CA, why);
  if (texts[CERT] && !tth_tls_own(ctx, texts[CERT], texts[KEY], NULL, why)) return blame(tls, CERT, why);
  SSL_CTX_set_verify(ctx, verify_mode(tls, texts[CA]), NULL);
  return true;
}

/* Copies of the texts, or what the files hold now. */
static tether_code gather(tth_tls *tls, char *texts[TEXTS], tth_tls_why *why) {
  for (int i = 0; i < TEXTS; i++) {
    tether_code code = TETHER_OK;
    if (tls->file[i]) {
      code = tth_text_file_read(tls->file[i], &texts[i], why->text, sizeof why->text);
      if (code != TETHER_OK) blame(tls, i, why);
    } else if (tls->pem[i] && !(texts[i] = strdup(tls->pem[i]))) {
      code = TETHER_RESOURCE_EXHAUSTED;
    }
    if (code != TETHER_OK) return code;
  }
  return TETHER_OK;
}

static tether_code make_context(tth_tls *tls, SSL_CTX **made, tth_tls_why *why) {
  char *texts[TEXTS] = {NULL};
  snprintf(why->text, sizeof why->text, "out of memory");
  tether_code code = gather(tls, texts, why);
  SSL_CTX *ctx = code == TETHER_OK ? tth_tls_context_new(tls->client) : NULL;
  if (code == TETHER_OK && !ctx) code = TETHER_RESOURCE_EXHAUSTED;
  if (ctx && !fill(tls, ctx, texts, why)) {
    SSL_CTX_free(ctx);
    code = TETHER_INVALID_ARGUMENT;
  }
  for (int i = 0; i < TEXTS; i++) release_text(texts[i]);
  if (code == TETHER_OK) *made = ctx;
  return code;
}

/* What is missing or contradicts itself, or NULL. */
static const char *lack(const tether_tls *o, bool client) {
  bool ca = o->ca_pem || o->ca_file, cert = o->cert_pem || o->cert_file, key = o->key_pem || o->key_file;
  if ((o->ca_pem && o->ca_file) || (o->cert_pem && o->cert_file) || (o->key_pem && o->key_file))
    return "give each of ca, cert and key as text or as file, not both";
  if (cert != key) return "cert and key go together";
  if (o->min_version != TETHER_TLS_DEFAULT && o->min_version != TETHER_TLS_1_2 && o->min_version != TETHER_TLS_1_3)
    return "min_version must be TLS 1.2 or 1.3; older ones are broken";
  if (client) {
    if (!ca && !o->insecure_no_server_check)
      return "a client needs ca, the authorities to trust (or, to believe whoever answers, insecure_no_server_check)";
    if (ca && o->insecure_no_server_check) return "ca and insecure_no_server_check contradict each other";
    if (o->server_name && !*o->server_name) return "server_name is empty: nothing could be checked";
    if (o->require_client_cert) return "require_client_cert is for servers";
  } else {
    if (!cert) return "a server needs cert and key, its certificate";
    if (o->require_client_cert && !ca) return "require_client_cert needs ca, who signs clients";
    if (o->insecure_no_server_check) return "insecure_no_server_check is for clients";
  }
  return NULL;
}

/* A copy of a text that may be NULL; false: no memory. */
static bool copy(char **to, const char *from) {
  *to = from ? strdup(from) : NULL;
  return *to || !from;
}

static tth_tls *new_from(const tether_tls *options, bool client) {
  tth_tls *tls = calloc(1, sizeof *tls);
  if (!tls) return NULL;
  tls->refs = 1;
  tls->client = client;
  tls->require_client_cert = options->require_client_cert;
  tls->no_server_check = options->insecure_no_server_check;
  tls->min_version = options->min_version == TETHER_TLS_1_3 ? TLS1_3_VERSION : 0;
  pthread_mutex_init(&tls->lock, NULL);
  bool copied = copy(&tls->pem[CA], options->ca_pem);
  copied &= copy(&tls->file[CA], options->ca_file);
  copied &= copy(&tls->pem[CERT], options->cert_pem);
  copied &= copy(&tls->file[CERT], options->cert_file);
  copied &= copy(&tls->pem[KEY], options->key_pem);
  copied &= copy(&tls->file[KEY], options->key_file);
  copied &= copy(&tls->server_name, options->server_name);
  if (copied) return tls;
  release(tls);
  return NULL;
}

static void say(const char *before, const char *what) { fprintf(stderr, "tether: TLS: %s%s\n", before, what); }

/* nng's threads, which may be inside OpenSSL, are still there when exit handlers run: OpenSSL must not clean up in one.
 * Before anybody else in the process has it set up, which may be the program, or libcurl. */
__attribute__((constructor)) static void without_exit_handler(void) {
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

tether_code tth_tls_open(const tether_tls *options, bool client, tth_tls **tls) {
  const char *missing = lack(options, client);
  if (missing) {
    say("", missing);
    return TETHER_INVALID_ARGUMENT;
  }
  tth_tls *made = new_from(options, client);
  if (!made) return TETHER_RESOURCE_EXHAUSTED;
  tth_tls_why why;
  tether_code code = make_context(made, &made->ctx, &why);
  if (code != TETHER_OK) {
    say("", why.text);
    release(made);
    return code;
  }
  /* Peers will refuse it; but a clock that is wrong for a moment should not keep a service from starting. */
  if (!tth_tls_own_is_current(made->ctx, &why)) say("warning: ", why.text);
  *tls = made;
  return TETHER_OK;
}

tether_code tth_tls_reload(tth_tls *tls) {
  if (!tls) return TETHER_FAILED_PRECONDITION;
  tth_tls_why why;
  SSL_CTX *ctx;
  tether_code code = make_context(tls, &ctx, &why);
  if (code == TETHER_OK && !tth_tls_own_is_current(ctx, &why)) {
    blame(tls, CERT, &why);
    SSL_CTX_free(ctx);
    code = TETHER_INVALID_ARGUMENT;
  }
  if (code != TETHER_OK) {
    say("not reloaded, what was loaded before stays in use: ", why.text);
    return code;
  }
  pthread_mutex_lock(&tls->lock);
  SSL_CTX *old = tls->ctx;
  tls->ctx = ctx;
  pthread_mutex_unlock(&tls->lock);
  SSL_CTX_free(old);
  return TETHER_OK;
}
