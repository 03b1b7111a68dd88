/* tests/support/stream_attack.h: a server whose streams nobody reads until the test does, and a peer that says what it
 * likes to it. In memory and on one thread; memory is what malloc has handed out. */
#ifndef TESTS_SUPPORT_STREAM_ATTACK_H
#define TESTS_SUPPORT_STREAM_ATTACK_H

#include "rpc/session.h"
#include "tests/support/mem_peer.h"
#include "tests/support/raw_peer.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define WINDOW TTH_WINDOW_LEAST

/* What a server holds for each stream beside its messages: call, context, pipe; and for a connection. */
#define ATTACK_STREAM_BYTES (8 * KIB)
#define ATTACK_CONN_BYTES (2 * MIB)

extern struct attack {
  tst_mem_net *net;
  tether_server *server;
  tst_mem_peer peer, other; /* other: see attack_assert_others_are_served */
  tst_stderr caught;
  size_t before;           /* bytes allocated once the peer is connected */
  tether_call *held[1024]; /* calls, in the order they came */
  int count;
} attack;

/* cmocka setup and teardown. */
int attack_setup(void **state);
int attack_teardown(void **state);

/* Connects the peer, which announces this window. */
void attack_connect(uint32_t window);

/* Adds HEADERS of a stream that will be held; WINDOW. */
void attack_open_stream(tst_frames *frames, uint32_t id);
void attack_add_window(tst_frames *frames, uint32_t id, uint32_t bytes);

/* Says the frames, in batches that a link takes, and empties them. */
void attack_say(tst_frames *frames);

/* Finishes all calls that are held. */
void attack_finish_all(void);

/* A call on a connection of its own, and on the peer's if that is still there, is served. */
void attack_assert_others_are_served(void);

/* Allocated now, 0 under a sanitizer; and what the peer has made the process hold, what the test keeps of the
 * conversation aside. */
size_t attack_allocated_bytes(void);
size_t attack_grown_bytes(void);

#endif
