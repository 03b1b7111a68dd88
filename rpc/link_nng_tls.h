/* rpc/link_nng_tls.h: nng's TLS on OpenSSL. For the files of the nng transport. */
#ifndef TETHER_RPC_LINK_NNG_TLS_H
#define TETHER_RPC_LINK_NNG_TLS_H

#include "rpc/identity.h"
#include "rpc/tls.h"

struct nng_tls_config;
struct nng_tls_engine_config;
struct nng_stream;

/* What is set on nng's dialers and listeners. */
typedef struct tth_nng_tls {
  struct nng_tls_config *config; /* a hold */
  struct nng_tls_engine_config *insides;
} tth_nng_tls;

/* A configuration for nng that uses `tls`. A client checks the server for `name`. `log_url`: handshakes that fail are
 * told on standard error, for listeners that never see such streams (wss); NULL: they are not.
 * TETHER_RESOURCE_EXHAUSTED. TETHER_UNIMPLEMENTED: this nng was built without TLS. */
TETHER_MUST_USE tether_code tth_nng_tls_open(tth_tls *tls, bool client, const char *name, const char *log_url,
                                             tth_nng_tls *made);
void tth_nng_tls_close(tth_nng_tls *made);

/* Why the last handshake with this configuration failed; false: none has since the last time that this was asked. */
TETHER_MUST_USE bool tth_nng_tls_last_failure(const tth_nng_tls *made, tth_tls_why *why);

/* Why TLS on the stream has failed; false: it has not. `ended_early`: it has ended before anything was received over
 * it, which then says something too. */
TETHER_MUST_USE bool tth_nng_tls_failure(struct nng_stream *stream, bool ended_early, tth_tls_why *why);

/* The identity of the stream's peer, to be freed; NULL: it has shown none. false: no memory. */
TETHER_MUST_USE bool tth_nng_tls_identity(struct nng_stream *stream, tether_identity **identity);

#endif
