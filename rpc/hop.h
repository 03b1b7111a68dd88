/* rpc/hop.h: a ledger's Hop as the bytes that a server sent, made shorter to be handed up. */
#ifndef TETHER_RPC_HOP_H
#define TETHER_RPC_HOP_H

#include <tether/base.h>

/* What is written without protobuf-c (frames.proto): tags of Hop.legs, Hop.cut and Leg.hop, and what a tag and a length
 * take in front of a leg or a Hop. */
#define TTH_HOP_LEG 0x3a
#define TTH_HOP_CUT 0x40
#define TTH_LEG_HOP 0x4a
#define TTH_HOP_OVERHEAD ((size_t)4)

/* Writes a varint; returns its length. */
size_t tth_hop_put_varint(uint8_t *to, uint64_t value);

/* Writes a Hop that says the same in at most `room` bytes to `to`. Legs that fit stay whole, those of failed calls
 * first; of the next one the Hop inside is made shorter in the same way; the others are counted in `cut`. Returns the
 * length; 0: the bytes do not parse, or what is not legs does not fit. */
size_t tth_hop_shorten(const uint8_t *bytes, size_t len, uint8_t *to, size_t room);

#endif
