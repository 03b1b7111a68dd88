/* rpc/credentials.h: calls and their tokens. */
#ifndef TETHER_RPC_CREDENTIALS_H
#define TETHER_RPC_CREDENTIALS_H

#include <tether/credentials.h>

#include "rpc/call.h"

/* Puts a token into a packed request and lets the call go, or ends it; now, or when there is a token. Takes `out`. */
void tth_credentials_apply(tether_credentials *credentials, tether_call *call, tth_out *out);

#endif
