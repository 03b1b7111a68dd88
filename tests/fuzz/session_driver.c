/* One input: limits, a greeting or none, then steps. After each step session_check looks at the session's insides, and
 * wire_check at every batch that left. At the end the owner ends its calls, everything that can leave must leave, and
 * every call must have heard of its end exactly once. */
#include "tests/fuzz/session_driver.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/session_check.h"

#define STEPS_MOST 2000
#define MEMORY_MOST ((size_t)8 * 1024 * 1024)

/* ---- In ------------------------------------------------------------------------------------ */

/* Lets the session read on, up to so many events. */
static void read_events(driver *d, unsigned most) {
  tth_event event = {.type = TTH_EVENT_NONE};
  for (unsigned n = 0; d->batch && n < most; n++) {
    if (!tth_session_next_event(d->session, &event)) {
      FUZZ_CHECK(event.type == TTH_EVENT_NONE);
      free(d->batch);
      d->batch = NULL;
      return;
    }
    driver_handle(d, &event);
  }
}

static void deliver(driver *d) {
  size_t len;
  read_events(d, UINT32_MAX);
  d->batch = hostile_take(&d->peer, &len);
  if (!d->batch) return;
  wire_check_delivered(&d->wire, d->batch, len);
  tth_session_input(d->session, d->batch, len, d->now_ns);
}

/* ---- Out ----------------------------------------------------------------------------------- */

/* One fill of so many bytes, or of what the session needs at least. */
static size_t fill(driver *d, size_t room) {
  size_t need = tth_session_min_fill(d->session);
  if (room < need) room = need;
  uint8_t *bytes = malloc(room); /* exactly, so that AddressSanitizer sees a byte too far */
  if (!bytes) abort();
  bool owes = !d->broken && tth_session_pending(d->session) > 0 && d->role == TTH_SERVER;
  size_t len = tth_session_fill(d->session, d->now_ns, bytes, room);
  FUZZ_CHECK(len <= room && (len > 0 || !owes));
  wire_check_sent(&d->wire, bytes, len);
  free(bytes);
  return len;
}

static void drain(driver *d) {
  while (fill(d, TTH_SLICE) > 0) continue;
  session_check_filled(d->session);
}

/* ---- Steps --------------------------------------------------------------------------------- */

static void step(driver *d) {
  uint8_t what = fuzz_byte(&d->in) % 25;
  switch (what) {
    case 0:
    case 1:
    case 2:
      hostile_frame(&d->peer, &d->in);
      break;
    case 3:
      hostile_message(&d->peer, &d->in);
      break;
    case 4:
      hostile_raw(&d->peer, &d->in);
      break;
    case 5:
      deliver(d);
      read_events(d, UINT32_MAX);
      break;
    case 6: /* the owner acts while a batch is being read, as other threads do between two events */
      if (!d->batch) deliver(d);
      read_events(d, 1 + fuzz_below(&d->in, 4));
      break;
    case 7:
      fill(d, fuzz_number(&d->in, 2) * (size_t)4);
      break;
    case 8:
      d->now_ns += fuzz_span_ns(&d->in) % (INT64_MAX / 4 - d->now_ns); /* our own clock stays within reason */
      break;
    case 9:
      tth_session_ping(d->session);
      break;
    case 10:
      hostile_pong(&d->peer, d->wire.asked, &d->in);
      break;
    default:
      driver_act(d, what - 11);
      break;
  }
}

/* Small limits, so that small inputs reach them. */
static tether_limits read_limits(driver *d) {
  uint8_t code = fuzz_byte(&d->in);
  return (tether_limits){.max_message_bytes = code & 1 ? 200000 : 3000,
                         .max_metadata_bytes = 4096,
                         .max_unpacked_bytes = 1 << 20,
                         .max_streams = code & 2 ? 8 : 2,
                         .max_forward_bytes = 4096,
                         .connection_window_bytes = code & 4 ? (size_t)400 * 1024 : 0};
}

static void greet(driver *d) {
  static const uint32_t streams[] = {8, 1, 0, UINT32_MAX};
  uint8_t code = fuzz_byte(&d->in);
  if (code & 8) return; /* the input brings its own, or none */
  tst_frames_hello(&d->peer.batch, streams[code & 3]);
  deliver(d);
  read_events(d, UINT32_MAX);
  FUZZ_CHECK(!d->broken);
}

/* The connection is lost: each call that is not gone hears of it once. */
static void lose(driver *d) {
  for (driver_call *call; (call = tth_session_pop_user(d->session));) {
    FUZZ_CHECK(call >= d->calls && call < d->calls + d->count && call->phase != DRIVER_GONE);
    call->phase = DRIVER_GONE;
  }
  for (size_t i = 0; i < d->count; i++) FUZZ_CHECK(d->calls[i].phase == DRIVER_GONE);
}

void driver_run(tth_role role, const uint8_t *input, size_t size) {
  static driver d;
  size_t before = fuzz_allocated();
  memset(&d, 0, offsetof(driver, wire));
  d.count = 0;
  d.broken = false;
  d.batch = NULL;
  d.now_ns = TETHER_SEC;
  d.role = role;
  d.in = (fuzz_input){input, size};
  tether_limits limits = read_limits(&d);
  d.session = tth_session_new(role, &limits);
  if (!d.session) abort();
  wire_check_init(&d.wire, role, &limits);
  session_check(d.session);
  greet(&d);
  for (unsigned i = 0; i < STEPS_MOST && d.in.left > 0; i++) {
    step(&d);
    session_check(d.session);
    FUZZ_CHECK(fuzz_allocated() <= before + MEMORY_MOST);
  }
  deliver(&d);
  read_events(&d, UINT32_MAX);
  driver_end_calls(&d);
  session_check(d.session);
  drain(&d);
  session_check(d.session);
  lose(&d);
  tth_session_free(d.session);
  hostile_fini(&d.peer);
}
