/* tests/support/mem_peer.h: a peer at the level of batches on a manual in-memory net: it says what it is told to and
 * keeps what it hears. All on the test's thread. */
#ifndef TETHER_TESTS_MEM_PEER_H
#define TETHER_TESTS_MEM_PEER_H

#include "tests/support/frames.h"
#include "tests/support/link_mem.h"

typedef struct tst_mem_peer {
  tst_mem_net *net;
  tth_link *link; /* NULL: not connected */
  tth_dialer *dialer;
  tth_listener *listener;
  bool closed;
  bool stuck;       /* the other side takes nothing more */
  tst_frames heard; /* every batch received, one after the other */
} tst_mem_peer;

/* Connects to whoever listens there. false: nobody does. */
TETHER_MUST_USE bool tst_mem_peer_dial(tst_mem_peer *peer, tst_mem_net *net, const char *url);

/* Listens; takes the first that connects (while the net is pumped). false: the name is taken. */
TETHER_MUST_USE bool tst_mem_peer_listen(tst_mem_peer *peer, tst_mem_net *net, const char *url);

/* Sends a batch, unless closed or stuck, and pumps the net. */
void tst_mem_peer_say(tst_mem_peer *peer, const void *batch, size_t len);
void tst_mem_peer_say_frames(tst_mem_peer *peer, tst_frames *frames); /* which are empty afterwards */

/* The code of the TRAILERS heard for a stream; -1 if there were none. */
int tst_mem_peer_code(const tst_mem_peer *peer, uint32_t stream);

/* Breaks the connection, so that both sides see it closed, and releases everything. */
void tst_mem_peer_fini(tst_mem_peer *peer);

#endif
