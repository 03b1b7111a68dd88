/* A TLS peer at the level of OpenSSL: for versions and certificates that ours does not offer. */
#ifndef TETHER_TESTS_TLS_PEER_H
#define TETHER_TESTS_TLS_PEER_H

#include <tether/base.h>

/* A client that speaks no newer version than `most` (TLS1_1_VERSION...; 0: any) and believes any server. Whether the
 * handshake with the port succeeds; *common_name, if asked for, is then the server's, to be freed. */
TETHER_MUST_USE bool tst_tls_connects(uint16_t port, int most, char **common_name);

/* A server of one connection, on a thread of its own, that speaks no newer version than `most`. */
typedef struct tst_tls_server tst_tls_server;
TETHER_MUST_USE tst_tls_server *tst_tls_server_open(const char *cert, const char *key, int most, uint16_t *port);

/* Waits for its end. Whether the handshake succeeded. */
bool tst_tls_server_close(tst_tls_server *server);

#endif
