/* rpc/encode.h: calls become frames. */
#ifndef TETHER_RPC_ENCODE_H
#define TETHER_RPC_ENCODE_H

#include "rpc/call.h"

/* HEADERS and the request: method, time left (written as they leave), metadata, forwarded values, trace.
 * TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_MUST_USE tether_code tth_encode_request(tether_call *call, const ProtobufCMessage *request,
                                               const tether_metadata *metadata, size_t max_forward_bytes,
                                               tth_out **out);

/* HEADERS with the call's initial metadata. */
TETHER_MUST_USE tether_code tth_encode_initial(const tether_call *call, tth_out **out);

/* What a call ends with: HEADERS if there is initial metadata not sent yet, the reply if the code is TETHER_OK,
 * TRAILERS. */
TETHER_MUST_USE tether_code tth_encode_reply(const tether_call *call, tether_code code, const char *message,
                                             const tether_cause *cause, tth_out **out);

#endif
