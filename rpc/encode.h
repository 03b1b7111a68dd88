/* rpc/encode.h: calls become frames. */
#ifndef TETHER_RPC_ENCODE_H
#define TETHER_RPC_ENCODE_H

#include "rpc/call.h"

/* HEADERS and, unless it is NULL, the request: method, time left (written as they leave), metadata, forwarded values,
 * trace. TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_MUST_USE tether_code tth_encode_request(tether_call *call, const ProtobufCMessage *request,
                                               const tether_metadata *metadata, size_t max_forward_bytes,
                                               tth_out **out);

/* Puts one more entry of metadata into a packed request, which is another one then. false: no memory. */
TETHER_MUST_USE bool tth_encode_one_more(tth_out **out, const char *key, const char *value, size_t len);

/* A message of a stream. */
TETHER_MUST_USE tether_code tth_encode_message(const ProtobufCMessage *message, tth_out **out);

/* The client's "no more requests". NULL without memory. */
TETHER_MUST_USE tth_out *tth_encode_half_close(void);

/* HEADERS with the call's initial metadata. */
TETHER_MUST_USE tether_code tth_encode_initial(const tether_call *call, tth_out **out);

/* What goes with the end besides the call's own results. */
typedef struct tth_end {
  ProtobufCBinaryData ledger; /* a packed Hop; data NULL: none */
  uint32_t running;
} tth_end;

/* What a call ends with: HEADERS if there is initial metadata not sent yet, the reply if there is one and the code is
 * TETHER_OK, TRAILERS with the call's code, message, cause and trailers. */
TETHER_MUST_USE tether_code tth_encode_reply(const tether_call *call, const tth_end *end, tth_out **out);

#endif
