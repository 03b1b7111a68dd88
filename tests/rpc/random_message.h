/* tests/rpc/random_message.h: valid messages of any type, from a seed. */
#ifndef TETHER_TESTS_RPC_RANDOM_MESSAGE_H
#define TETHER_TESTS_RPC_RANDOM_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "tests/rpc/wire.h"

typedef struct random_message {
  uint64_t state;  /* of the generator; the seed at first */
  unsigned depth;  /* messages may be nested this deep */
  unsigned size;   /* about how many elements a message may have */
  unsigned merges; /* how many singular messages may be written twice */
} random_message;

/* The next number of the sequence. */
uint64_t random_next(random_message *r);

/* Appends a message of the type: fields in any order, absent, repeated, packed or not, replaced by later ones, and
 * unknown ones. All of it is what a peer may send, and protobuf-c can represent it. */
void random_message_write(random_message *r, const ProtobufCMessageDescriptor *descriptor, wire *w);

#endif
