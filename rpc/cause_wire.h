/* rpc/cause_wire.h: causes to and from the wire. */
#ifndef TETHER_RPC_CAUSE_WIRE_H
#define TETHER_RPC_CAUSE_WIRE_H

#include <tether/ctx.h>

#include "tether/v1/frames.pb-c.h"

/* A view of a cause, as long as the cause lives. */
void tth_cause_to_wire(const tether_cause *cause, Tether__V1__Cause *wire);

/* A cause from the wire; NULL if there is none. */
TETHER_MUST_USE tether_cause *tth_cause_from_wire(const Tether__V1__Cause *cause);

#endif
