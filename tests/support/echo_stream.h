/* The streaming handlers of the Echo service, in all their forms. */
#ifndef TESTS_SUPPORT_ECHO_STREAM_H
#define TESTS_SUPPORT_ECHO_STREAM_H

#include "tests/support/echo_server.h"

/* In blocking form. */
tether_code echo_chat(const tether_ctx *ctx, tether_call *call, void *data);
tether_code echo_upload(const tether_ctx *ctx, tether_call *call, Testing__V1__Reply *reply, void *data);
tether_code echo_download(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request, void *data);

/* In callback form. */
tether_code echo_inline_chat(const tether_ctx *ctx, tether_call *call, void *data);
tether_code echo_later_chat(const tether_ctx *ctx, tether_call *call, void *data);

/* What all of Echo's handlers do: answer a request, or end with the status it asks for; send back metadata. */
TETHER_MUST_USE tether_code echo_fill(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                                      Testing__V1__Reply *reply);
TETHER_MUST_USE tether_code echo_metadata(tether_call *call);

#endif
