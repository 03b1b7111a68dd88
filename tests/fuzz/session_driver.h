/* tests/fuzz/session_driver.h: a session, a hostile peer, and an owner that uses the session as rpc/conn.c,
 * client_call*.c and server_call*.c do. An input is a sequence of steps: what the peer says, what the owner does, when
 * bytes leave. */
#ifndef TETHER_TESTS_FUZZ_SESSION_DRIVER_H
#define TETHER_TESTS_FUZZ_SESSION_DRIVER_H

#include "tests/fuzz/hostile.h"
#include "tests/fuzz/wire_check.h"

#define DRIVER_CALLS 32

typedef enum driver_phase {
  DRIVER_LIVE,
  DRIVER_LATE, /* client: cancelled, and still to hear of the stream's end */
  DRIVER_GONE,
} driver_phase;

/* The user of a stream. */
typedef struct driver_call {
  driver_phase phase;
  tth_stream *stream; /* while live */
  bool peer_ended, sent_end;
  bool oversize, cancelled; /* server: such an event came */
  size_t unsaid;            /* cost of messages the session has not been told of */
  uint32_t id;              /* once known */
} driver_call;

typedef struct driver {
  tth_role role;
  tth_session *session;
  fuzz_input in;
  hostile peer;
  wire_check wire;
  int64_t now_ns;
  uint8_t *batch; /* being read by the session */
  bool broken;
  driver_call calls[DRIVER_CALLS];
  size_t count;
} driver;

/* Runs an input against a session of this role. */
void driver_run(tth_role role, const uint8_t *input, size_t size);

/* ---- Between session_driver.c and session_owner.c ------------------------------------------ */

/* What the owner does: one step of the input. */
void driver_act(driver *d, uint8_t step);

/* What it does with an event. */
void driver_handle(driver *d, tth_event *event);

/* Ends every call as its owner would, so that all that can leave can. */
void driver_end_calls(driver *d);

#endif
