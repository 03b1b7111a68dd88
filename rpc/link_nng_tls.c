/* nng's TLS on OpenSSL, by nng's own interface for TLS libraries (nng/supplemental/tls/engine.h). What nng 1.5.2 brings
 * along (mbed TLS 2.28) tells nobody whose certificate it has accepted nor why it refused one, has no TLS 1.3, and a
 * configuration cannot be exchanged while connections are being made; this does all that.
 *
 * nng asks the engine for configurations and connections; it does the I/O, and calls for one connection under that
 * one's lock. A configuration of ours stands for a tth_tls, whose SSL_CTX a connection takes when it has been made: so
 * a reload counts for the next one. The engine is the whole process's, so configurations that others make with
 * nng_tls_config_alloc come here too, and get what nng's documentation promises.
 *
 * What nng has no question for is asked by NNG_OPT_TLS_VERIFIED, during which the asking thread says where the answer
 * is to go (`asking`): nng answers it at once, on the same thread, with the connection's lock. */
#include "rpc/link_nng_tls.h"

#include <limits.h>
#include <nng/nng.h>
#include <nng/supplemental/tls/engine.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rpc/link_nng.h"

struct nng_tls_engine_config {
  nng_tls_mode mode;
  char *name; /* that servers are checked for */
  tth_tls *tls;
  SSL_CTX *ctx; /* instead of tls, in configurations of others */

  char *log_url;
  pthread_mutex_t lock;
  /* under lock */
  tth_tls_why failure;
  bool failed;
  time_t second; /* of the lines counted */
  unsigned lines;
};

struct nng_tls_engine_conn {
  void *nng;
  nng_tls_engine_config *config; /* nng keeps it as long as this */
  SSL *ssl;                      /* NULL: init has failed or was never called */
  tth_tls_why failure;
  bool failed;
};

/* What a thread of ours wants to know of the connection it asks for. */
struct question {
  tth_tls_why *failure;
  bool failed, ended_early;
  X509 *certificate;
};
static _Thread_local struct question *asking;

/* The configuration that nng_tls_config_alloc has just had made on this thread. */
static _Thread_local nng_tls_engine_config *newest;

/* ---- Between OpenSSL and nng's buffers ------------------------------------------------------ */

static int bio_write(BIO *bio, const char *bytes, int len) {
  size_t size = (size_t)len;
  BIO_clear_retry_flags(bio);
  int error = len > 0 ? nng_tls_engine_send(BIO_get_data(bio), (const uint8_t *)bytes, &size) : 0;
  if (error == NNG_EAGAIN) BIO_set_retry_write(bio);
  return error ? -1 : (int)size;
}

static int bio_read(BIO *bio, char *bytes, int len) {
  size_t size = (size_t)len;
  BIO_clear_retry_flags(bio);
  int error = len > 0 ? nng_tls_engine_recv(BIO_get_data(bio), (uint8_t *)bytes, &size) : 0;
  if (error == NNG_EAGAIN) BIO_set_retry_read(bio);
  return error ? -1 : (int)size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
  (void)bio;
  (void)number;
  (void)pointer;
  return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio) {
  BIO_set_init(bio, 1);
  return 1;
}

static BIO_METHOD *method;

static bool make_method(void) {
  method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nng");
  return method && BIO_meth_set_write(method, bio_write) && BIO_meth_set_read(method, bio_read) &&
         BIO_meth_set_ctrl(method, bio_ctrl) && BIO_meth_set_create(method, bio_create);
}

/* ---- Connections ---------------------------------------------------------------------------- */

#define LINES_PER_SECOND 20

/* Keeps the reason for those who ask, and says it where nobody can. */
static void note_failure(nng_tls_engine_conn *conn) {
  nng_tls_engine_config *config = conn->config;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  pthread_mutex_lock(&config->lock);
  config->failure = conn->failure;
  config->failed = true;
  if (config->second != now.tv_sec) config->lines = 0;
  config->second = now.tv_sec;
  bool say = config->log_url && ++config->lines <= LINES_PER_SECOND;
  pthread_mutex_unlock(&config->lock);
  if (say) tth_nng_log(config->log_url, "closed a peer: %s", conn->failure.text);
}

/* What an operation's result means to nng. */
static int result(nng_tls_engine_conn *conn, int returned) {
  int error = SSL_get_error(conn->ssl, returned);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return NNG_EAGAIN;
  bool verify = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED;
  bool left = error == SSL_ERROR_ZERO_RETURN || ERR_peek_last_error() == 0;
  if (!conn->failed && !left) {
    conn->failed = true;
    tth_tls_explain(conn->ssl, error, conn->config->name, &conn->failure);
    note_failure(conn);
  }
  ERR_clear_error();
  return left ? NNG_ECONNSHUT : verify ? NNG_EPEERAUTH : NNG_ECRYPTO;
}

static SSL_CTX *config_context(nng_tls_engine_config *config);

static int conn_init(nng_tls_engine_conn *conn, void *nng, nng_tls_engine_config *config) {
  ERR_clear_error();
  SSL_CTX *ctx = config->tls ? tth_tls_context(config->tls) : config_context(config);
  SSL *ssl = ctx ? tth_tls_connection_new(ctx, config->mode == NNG_TLS_MODE_CLIENT, config->name) : NULL;
  if (config->tls) SSL_CTX_free(ctx);
  BIO *bio = ssl ? BIO_new(method) : NULL;
  if (!bio) {
    SSL_free(ssl);
    return NNG_ENOMEM;
  }
  BIO_set_data(bio, nng);
  SSL_set_bio(ssl, bio, bio);
  conn->nng = nng;
  conn->config = config;
  conn->ssl = ssl;
  return 0;
}

/* Also of a connection that nng has never had initialised. */
static void conn_fini(nng_tls_engine_conn *conn) { SSL_free(conn->ssl); }

/* What can be told of a connection that ended before anything was said over it, and without an alert (which is lost
 * where the peer closes right behind it). false: it never spoke TLS. */
static bool guess(const nng_tls_engine_conn *conn, tth_tls_why *why) {
  bool client = conn->config->mode == NNG_TLS_MODE_CLIENT;
  const char *text = "TLS: the peer left during the handshake; does it trust who signed our certificate?";
  if (!conn->ssl || SSL_get_state(conn->ssl) == TLS_ST_BEFORE) return false;
  if (client && !SSL_is_init_finished(conn->ssl)) text = "TLS: closed by the peer during the handshake; see its log";
  if (client && SSL_is_init_finished(conn->ssl))
    text =
        "TLS: closed by the peer after the handshake; does it require a certificate of ours, or trust the one it has?";
  snprintf(why->text, sizeof why->text, "%s", text);
  return true;
}

static void conn_close(nng_tls_engine_conn *conn) {
  if (conn->ssl && conn->config->log_url && !conn->failed && !SSL_is_init_finished(conn->ssl) &&
      guess(conn, &conn->failure)) {
    conn->failed = true;
    note_failure(conn);
  }
  ERR_clear_error();
  if (conn->ssl && SSL_is_init_finished(conn->ssl) && !conn->failed) (void)SSL_shutdown(conn->ssl);
  ERR_clear_error();
}

static int conn_handshake(nng_tls_engine_conn *conn) {
  ERR_clear_error();
  int returned = SSL_do_handshake(conn->ssl);
  return returned == 1 ? 0 : result(conn, returned);
}

static int as_int(size_t size) { return size > INT_MAX ? INT_MAX : (int)size; }

static int conn_recv(nng_tls_engine_conn *conn, uint8_t *bytes, size_t *size) {
  ERR_clear_error();
  int n = SSL_read(conn->ssl, bytes, as_int(*size));
  if (n <= 0) return result(conn, n);
  *size = (size_t)n;
  return 0;
}

static int conn_send(nng_tls_engine_conn *conn, const uint8_t *bytes, size_t *size) {
  ERR_clear_error();
  int n = SSL_write(conn->ssl, bytes, as_int(*size));
  if (n <= 0) return result(conn, n);
  *size = (size_t)n;
  return 0;
}

static bool conn_verified(nng_tls_engine_conn *conn) {
  bool verified = conn->ssl && SSL_is_init_finished(conn->ssl) && tth_tls_verified(conn->ssl);
  if (asking) {
    asking->failed = conn->failed;
    if (asking->failure && conn->failed) *asking->failure = conn->failure;
    if (asking->failure && !conn->failed && asking->ended_early) asking->failed = guess(conn, asking->failure);
    if (!asking->failure && verified) asking->certificate = SSL_get1_peer_certificate(conn->ssl);
  }
  return verified;
}

/* ---- Configurations ------------------------------------------------------------------------- */

static int config_init(nng_tls_engine_config *config, nng_tls_mode mode) {
  config->mode = mode;
  pthread_mutex_init(&config->lock, NULL);
  newest = config;
  return 0;
}

static void config_fini(nng_tls_engine_config *config) {
  tth_tls_unref(config->tls);
  SSL_CTX_free(config->ctx);
  free(config->name);
  free(config->log_url);
  pthread_mutex_destroy(&config->lock);
}

static int config_server(nng_tls_engine_config *config, const char *name) {
  char *copy = strdup(name);
  if (!copy) return NNG_ENOMEM;
  free(config->name);
  config->name = copy;
  return 0;
}

/* The rest is for configurations that are not ours. Made when it is needed: nng makes one for each dialer, which gets
 * ours right after. */
static SSL_CTX *config_context(nng_tls_engine_config *config) {
  bool client = config->mode == NNG_TLS_MODE_CLIENT;
  if (!config->ctx) {
    config->ctx = tth_tls_context_new(client);
    if (config->ctx) SSL_CTX_set_verify(config->ctx, client ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
  }
  return config->ctx;
}

static int config_auth(nng_tls_engine_config *config, nng_tls_auth_mode mode) {
  SSL_CTX *ctx = config_context(config);
  if (!ctx) return NNG_ENOMEM;
  /* Of a client, OpenSSL knows "checks" and "does not check" only. */
  int verify = mode == NNG_TLS_AUTH_MODE_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
  if (mode == NNG_TLS_AUTH_MODE_OPTIONAL && config->mode == NNG_TLS_MODE_CLIENT) verify = SSL_VERIFY_NONE;
  if (mode == NNG_TLS_AUTH_MODE_REQUIRED) verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(ctx, verify, NULL);
  return 0;
}

static int config_ca_chain(nng_tls_engine_config *config, const char *certificates, const char *lists) {
  tth_tls_why why;
  SSL_CTX *ctx = config_context(config);
  if (!ctx) return NNG_ENOMEM;
  if (!tth_tls_trust(ctx, certificates, &why)) return NNG_ECRYPTO;
  if (lists && lists != certificates && strcmp(lists, certificates) != 0) {
    char *both;
    if (asprintf(&both, "%s\n%s", certificates, lists) < 0) return NNG_ENOMEM;
    bool good = tth_tls_trust(ctx, both, &why);
    free(both);
    if (!good) return NNG_ECRYPTO;
  }
  return 0;
}

static int config_own_cert(nng_tls_engine_config *config, const char *cert, const char *key, const char *password) {
  tth_tls_why why;
  SSL_CTX *ctx = config_context(config);
  if (!ctx) return NNG_ENOMEM;
  return tth_tls_own(ctx, cert, key, password, &why) ? 0 : NNG_ECRYPTO;
}

static int config_version(nng_tls_engine_config *config, nng_tls_version least, nng_tls_version most) {
  SSL_CTX *ctx = config_context(config);
  if (!ctx) return NNG_ENOMEM;
  if (least > most || most < NNG_TLS_1_0) return NNG_ENOTSUP;
  if (most > NNG_TLS_1_3) most = NNG_TLS_1_3;
  /* nng's numbers are those on the wire, and OpenSSL's. */
  return SSL_CTX_set_min_proto_version(ctx, (int)least) && SSL_CTX_set_max_proto_version(ctx, (int)most) ? 0
                                                                                                         : NNG_ENOTSUP;
}

/* ---- The engine ----------------------------------------------------------------------------- */

#if NNG_MAJOR_VERSION > 1 || NNG_MINOR_VERSION >= 6
/* Later versions of nng ask for names, as texts that the asker frees. */
static tether_identity *identity_of(nng_tls_engine_conn *conn) {
  X509 *certificate = conn->ssl ? SSL_get1_peer_certificate(conn->ssl) : NULL;
  tether_identity *identity = certificate ? tth_identity_of_certificate(certificate) : NULL;
  X509_free(certificate);
  return identity;
}

static char *conn_peer_cn(nng_tls_engine_conn *conn) {
  tether_identity *identity = identity_of(conn);
  char *name = identity && *identity->common_name ? strdup(identity->common_name) : NULL;
  free(identity);
  return name;
}

static char **conn_peer_alt_names(nng_tls_engine_conn *conn) {
  tether_identity *identity = identity_of(conn);
  char **names = identity ? calloc(identity->name_count + 1, sizeof *names) : NULL;
  for (size_t i = 0; names && i < identity->name_count; i++) names[i] = strdup(strchr(identity->names[i], ':') + 1);
  free(identity);
  return names;
}
#endif

#if NNG_MAJOR_VERSION > 1 || NNG_MINOR_VERSION >= 9
static int config_psk(nng_tls_engine_config *config, const char *identity, const uint8_t *key, size_t size) {
  (void)config;
  (void)identity;
  (void)key;
  (void)size;
  return NNG_ENOTSUP;
}
#endif

static nng_tls_engine_conn_ops conn_ops = {
    .size = sizeof(nng_tls_engine_conn),
    .init = conn_init,
    .fini = conn_fini,
    .close = conn_close,
    .handshake = conn_handshake,
    .recv = conn_recv,
    .send = conn_send,
    .verified = conn_verified,
#if NNG_MAJOR_VERSION > 1 || NNG_MINOR_VERSION >= 6
    .peer_cn = conn_peer_cn,
    .peer_alt_names = conn_peer_alt_names,
#endif
};

static nng_tls_engine_config_ops config_ops = {
    .size = sizeof(nng_tls_engine_config),
    .init = config_init,
    .fini = config_fini,
    .server = config_server,
    .auth = config_auth,
    .ca_chain = config_ca_chain,
    .own_cert = config_own_cert,
    .version = config_version,
#if NNG_MAJOR_VERSION > 1 || NNG_MINOR_VERSION >= 9
    .psk = config_psk,
#endif
};

static const nng_tls_engine engine = {
    .version = NNG_TLS_ENGINE_VERSION,
    .config_ops = &config_ops,
    .conn_ops = &conn_ops,
    .name = "tether-openssl",
    .description = "OpenSSL, by tether",
};

static bool registered;

static void register_engine(void) {
  /* The name makes nng initialise itself, which would take the engine away again later. */
  bool has_tls = strcmp(nng_tls_engine_name(), "none") != 0;
  registered = has_tls && make_method() && nng_tls_engine_register(&engine) == 0;
}

/* ---- For the transport ---------------------------------------------------------------------- */

/* nng's configuration, and its insides if it is of this engine. */
static int config_alloc(bool client, tth_nng_tls *made) {
  newest = NULL;
  int error = nng_tls_config_alloc(&made->config, client ? NNG_TLS_MODE_CLIENT : NNG_TLS_MODE_SERVER);
  if (error == 0 && !newest) { /* another has registered since, or nng was closed down and begun anew */
    nng_tls_config_free(made->config);
    error = nng_tls_engine_register(&engine);
    if (error == 0) error = nng_tls_config_alloc(&made->config, client ? NNG_TLS_MODE_CLIENT : NNG_TLS_MODE_SERVER);
  }
  made->insides = newest;
  return error;
}

tether_code tth_nng_tls_open(tth_tls *tls, bool client, const char *name, const char *log_url, tth_nng_tls *made) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, register_engine);
  if (!registered) return TETHER_UNIMPLEMENTED;
  int error = config_alloc(client, made);
  if (error == 0 && !made->insides) tth_nng_tls_close(made); /* another engine gets in between again and again */
  if (error || !made->config) return error == NNG_ENOMEM ? TETHER_RESOURCE_EXHAUSTED : TETHER_UNIMPLEMENTED;
  nng_tls_engine_config *insides = made->insides;
  insides->tls = tth_tls_ref(tls);
  insides->name = name ? strdup(name) : NULL;
  insides->log_url = log_url ? strdup(log_url) : NULL;
  if ((!name || insides->name) && (!log_url || insides->log_url)) return TETHER_OK;
  tth_nng_tls_close(made);
  return TETHER_RESOURCE_EXHAUSTED;
}

void tth_nng_tls_close(tth_nng_tls *made) {
  if (made->config) nng_tls_config_free(made->config);
  *made = (tth_nng_tls){NULL, NULL};
}

bool tth_nng_tls_last_failure(const tth_nng_tls *made, tth_tls_why *why) {
  nng_tls_engine_config *config = made->insides;
  if (!config) return false;
  pthread_mutex_lock(&config->lock);
  bool failed = config->failed;
  config->failed = false;
  if (failed) *why = config->failure;
  pthread_mutex_unlock(&config->lock);
  return failed;
}

static void ask(nng_stream *stream, struct question *question) {
  bool verified;
  asking = question;
  (void)nng_stream_get_bool(stream, NNG_OPT_TLS_VERIFIED, &verified);
  asking = NULL;
}

bool tth_nng_tls_failure(nng_stream *stream, bool ended_early, tth_tls_why *why) {
  struct question question = {.failure = why, .ended_early = ended_early};
  ask(stream, &question);
  return question.failed;
}

bool tth_nng_tls_identity(nng_stream *stream, tether_identity **identity) {
  struct question question = {.failure = NULL};
  ask(stream, &question);
  *identity = question.certificate ? tth_identity_of_certificate(question.certificate) : NULL;
  bool memory = *identity || !question.certificate;
  X509_free(question.certificate);
  return memory;
}
