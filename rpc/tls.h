/* rpc/tls.h: TLS by OpenSSL: what is loaded from tether_tls, what a peer's certificate says, and why a handshake
 * failed. rpc/link_nng_tls.c puts it under nng's streams; nothing here knows nng. */
#ifndef TETHER_RPC_TLS_H
#define TETHER_RPC_TLS_H

#include <openssl/types.h>
#include <tether/tls.h>

/* Credentials and trust, shared by all connections of a client or server, and replaced as a whole. */
typedef struct tth_tls tth_tls;

/* Loads what `options` say. TETHER_INVALID_ARGUMENT: they cannot work; the reason goes to standard error.
 * TETHER_RESOURCE_EXHAUSTED. */
TETHER_MUST_USE tether_code tth_tls_open(const tether_tls *options, bool client, tth_tls **tls);

/* tether_client_reload_tls; NULL: FAILED_PRECONDITION. */
TETHER_MUST_USE tether_code tth_tls_reload(tth_tls *tls);

tth_tls *tth_tls_ref(tth_tls *tls);
void tth_tls_unref(tth_tls *tls);

/* What new connections use now; the caller's reference. */
SSL_CTX *tth_tls_context(tth_tls *tls);

/* The name to check instead of the URL's host; NULL. */
const char *tth_tls_server_name(const tth_tls *tls);

/* ---- Loading (tls_pem.c) ---------------------------------------------------------------------- */

/* Why something failed, as a sentence. */
typedef struct tth_tls_why {
  char text[256];
} tth_tls_why;

/* A context with the settings that all of ours have. NULL without memory. */
TETHER_MUST_USE SSL_CTX *tth_tls_context_new(bool client);

/* Trusts the certificates in `pem`, and believes the revocation lists there. */
TETHER_MUST_USE bool tth_tls_trust(SSL_CTX *ctx, const char *pem, tth_tls_why *why);

/* Shows the first certificate in `cert`, with the others as its chain. `password` may be NULL. */
TETHER_MUST_USE bool tth_tls_own(SSL_CTX *ctx, const char *cert, const char *key, const char *password,
                                 tth_tls_why *why);

/* Whether the certificate shown, if any, is valid now. */
TETHER_MUST_USE bool tth_tls_own_is_current(SSL_CTX *ctx, tth_tls_why *why);

/* ---- One connection (tls_peer.c) -------------------------------------------------------------- */

/* A connection's state. `name` is what a client checks; NULL: nothing. NULL without memory. */
TETHER_MUST_USE SSL *tth_tls_connection_new(SSL_CTX *ctx, bool client, const char *name);

/* What went wrong in the operation on `ssl` that failed with SSL_get_error() == `error`. */
void tth_tls_explain(SSL *ssl, int error, const char *name, tth_tls_why *why);

/* Whether the peer has shown a certificate that was found good. */
bool tth_tls_verified(SSL *ssl);

#endif
