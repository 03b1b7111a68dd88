#include "tests/support/tls_peer.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/tls.h"
#include "tests/support/raw_peer.h"

/* Old versions need signatures that the distribution has turned off. */
static bool limit(SSL_CTX *ctx, int most) {
  SSL_CTX_set_security_level(ctx, 0);
  return SSL_CTX_set_min_proto_version(ctx, most ? TLS1_VERSION : 0) && SSL_CTX_set_max_proto_version(ctx, most);
}

static char *name_of(SSL *ssl) {
  char name[128] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(ssl)), NID_commonName, name, sizeof name);
  return strdup(name);
}

bool tst_tls_connects(uint16_t port, int most, char **common_name) {
  int fd = raw_connect_tcp(port);
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  bool limited = limit(ctx, most);
  SSL *ssl = SSL_new(ctx);
  bool good = fd >= 0 && limited && SSL_set_fd(ssl, fd) && SSL_connect(ssl) == 1;
  if (good && common_name) *common_name = name_of(ssl);
  SSL_free(ssl);
  SSL_CTX_free(ctx);
  if (fd >= 0) close(fd);
  return good;
}

struct tst_tls_server {
  SSL_CTX *ctx;
  int listener;
  pthread_t thread;
  bool good;
};

static void *serve(void *data) {
  tst_tls_server *server = data;
  int fd = raw_accept(server->listener);
  SSL *ssl = SSL_new(server->ctx);
  server->good = fd >= 0 && SSL_set_fd(ssl, fd) && SSL_accept(ssl) == 1;
  SSL_free(ssl);
  if (fd >= 0) close(fd);
  return NULL;
}

tst_tls_server *tst_tls_server_open(const char *cert, const char *key, int most, uint16_t *port) {
  tth_tls_why why;
  tst_tls_server *server = calloc(1, sizeof *server);
  if (!server) return NULL;
  server->ctx = SSL_CTX_new(TLS_server_method());
  server->listener = raw_listen_tcp(port);
  if (limit(server->ctx, most) && tth_tls_own(server->ctx, cert, key, NULL, &why) && server->listener >= 0 &&
      pthread_create(&server->thread, NULL, serve, server) == 0)
    return server;
  abort();
}

bool tst_tls_server_close(tst_tls_server *server) {
  pthread_join(server->thread, NULL);
  bool good = server->good;
  close(server->listener);
  SSL_CTX_free(server->ctx);
  free(server);
  return good;
}
