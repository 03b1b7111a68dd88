/* Writes inputs to begin with: fuzz_seeds FOLDER makes FOLDER/<subject>/<name> for the targets whose inputs have a
 * structure that is hard to guess. The steps are those of session_driver.c and call_world.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rpc/session.h"
#include "testing.pb-c.h"
#include "tests/fuzz/fuzz.h"
#include "tether/v1/frames.pb-c.h"

typedef struct seed {
  uint8_t bytes[4096];
  size_t len;
} seed;

static const char *folder;

static void put(seed *s, const void *bytes, size_t len) {
  FUZZ_CHECK(s->len + len <= sizeof s->bytes);
  if (len > 0) memcpy(s->bytes + s->len, bytes, len);
  s->len += len;
}
static void byte(seed *s, unsigned value) { put(s, &(uint8_t){(uint8_t)value}, 1); }
static void two(seed *s, unsigned value) { byte(s, value), byte(s, value >> 8); }

static void save(seed *s, const char *subject, const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, subject);
  FUZZ_CHECK(mkdir(path, 0777) == 0 || errno == EEXIST);
  snprintf(path, sizeof path, "%s/%s/%s", folder, subject, name);
  FILE *file = fopen(path, "wb");
  FUZZ_CHECK(file && fwrite(s->bytes, 1, s->len, file) == s->len && fclose(file) == 0);
  s->len = 0;
}

/* ---- Payloads ------------------------------------------------------------------------------ */

static size_t pack(const ProtobufCMessage *message, uint8_t *to) {
  FUZZ_CHECK(protobuf_c_message_get_packed_size(message) <= UINT8_MAX);
  return protobuf_c_message_pack(message, to);
}

static Tether__V1__Entry *entry(const char *key, const char *value) {
  static Tether__V1__Entry entries[8];
  static unsigned next;
  Tether__V1__Entry *made = &entries[next++ % 8];
  tether__v1__entry__init(made);
  made->key = (char *)key;
  made->value = (ProtobufCBinaryData){.data = (uint8_t *)value, .len = strlen(value)};
  return made;
}

/* HEADERS with all there is. */
static size_t full_headers(uint8_t *to, const char *method) {
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  Tether__V1__Entry *metadata[] = {entry("Key", "value"), entry("hop", "1")};
  Tether__V1__Entry *forwarded[] = {entry("all", "2"), entry("own", "3")};
  headers.has_timeout_ns = headers.has_sent_at_ns = true;
  headers.timeout_ns = TETHER_SEC;
  headers.sent_at_ns = INT64_MIN;
  headers.method = (char *)method;
  headers.metadata = metadata;
  headers.forwarded = forwarded;
  headers.n_metadata = headers.n_forwarded = 2;
  headers.traceparent = (char *)"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  headers.tracestate = (char *)"a=b";
  headers.baggage = (char *)"c=d";
  headers.has_explain = headers.explain = true;
  return pack(&headers.base, to);
}

static size_t headers(uint8_t *to, const char *method, int64_t timeout_ns) {
  Tether__V1__Headers message = TETHER__V1__HEADERS__INIT;
  message.method = (char *)method;
  message.has_timeout_ns = timeout_ns > 0;
  message.timeout_ns = timeout_ns;
  return pack(&message.base, to);
}

static size_t request(uint8_t *to) {
  Testing__V1__Request message = TESTING__V1__REQUEST__INIT;
  message.name = (char *)"you";
  return pack(&message.base, to);
}

/* The ledger of a hop that called another. */
static size_t hop(uint8_t *to) {
  Tether__V1__Hop inner = TETHER__V1__HOP__INIT, outer = TETHER__V1__HOP__INIT;
  Tether__V1__Leg leg = TETHER__V1__LEG__INIT, *legs[] = {&leg};
  Tether__V1__Cause cause = TETHER__V1__CAUSE__INIT;
  uint8_t bytes[256];
  inner.name = (char *)"leaf";
  inner.has_own_ns = inner.has_budget_ns = inner.has_wasted_ns = true;
  inner.own_ns = inner.budget_ns = inner.wasted_ns = TETHER_MS;
  cause.code = TETHER_CAUSE_DEADLINE;
  leg.method = (char *)"/a/b";
  leg.cause = &cause;
  leg.has_took_ns = leg.has_code = leg.has_hop = leg.has_waited_ns = true;
  leg.took_ns = 2 * TETHER_MS;
  leg.waited_ns = TETHER_US;
  leg.code = TETHER_DEADLINE_EXCEEDED;
  leg.hop = (ProtobufCBinaryData){.data = bytes, .len = pack(&inner.base, bytes)};
  outer.name = (char *)"middle";
  outer.has_queue_ns = outer.has_own_ns = true;
  outer.queue_ns = TETHER_US;
  outer.own_ns = 3 * TETHER_MS;
  outer.legs = legs;
  outer.n_legs = 1;
  return pack(&outer.base, to);
}

static size_t trailers(uint8_t *to, tether_code code, bool ledger) {
  Tether__V1__Trailers message = TETHER__V1__TRAILERS__INIT;
  Tether__V1__Cause cause = TETHER__V1__CAUSE__INIT;
  Tether__V1__Entry *metadata[] = {entry("k", "v")};
  uint8_t bytes[256];
  message.code = code;
  if (code != TETHER_OK) {
    cause.code = TETHER_CAUSE_DEADLINE;
    cause.origin = (char *)"there";
    message.cause = &cause;
    message.message = (char *)"too late";
    message.metadata = metadata;
    message.n_metadata = 1;
  }
  message.has_ledger = ledger;
  if (ledger) message.ledger = (ProtobufCBinaryData){.data = bytes, .len = hop(bytes)};
  return pack(&message.base, to);
}

static size_t cancel(uint8_t *to, int64_t wait_ns) {
  Tether__V1__Cancel message = TETHER__V1__CANCEL__INIT;
  Tether__V1__Cause cause = TETHER__V1__CAUSE__INIT;
  cause.code = TETHER_CAUSE_CALLER;
  message.cause = &cause;
  message.has_wait_ns = wait_ns > 0;
  message.wait_ns = wait_ns;
  return pack(&message.base, to);
}

/* ---- Steps --------------------------------------------------------------------------------- */

/* How a target numbers the steps of a peer. */
typedef struct steps {
  uint8_t frame, message, say;
} steps;
static const steps of_session = {0, 3, 5}, of_call = {0, 2, 4}, of_hop = {8, 10, 12};

static void frame(seed *s, const steps *n, tth_frame_type type, unsigned flags, unsigned stream, const uint8_t *payload,
                  size_t len) {
  byte(s, n->frame), byte(s, type), byte(s, flags), byte(s, stream), byte(s, (unsigned)len);
  put(s, payload, len);
}

/* A long message in slices, the last END. */
static void sliced(seed *s, const steps *n, unsigned stream, unsigned total) {
  unsigned flags = TTH_FLAG_FIRST | TTH_FLAG_MORE;
  for (unsigned left = total; left > 0; flags = left > TTH_SLICE ? TTH_FLAG_MORE : TTH_FLAG_END) {
    unsigned len = left < TTH_SLICE ? left : (unsigned)TTH_SLICE;
    byte(s, n->message), byte(s, flags), byte(s, stream), two(s, len);
    if (flags & TTH_FLAG_FIRST) two(s, total), byte(s, total >> 16);
    left -= len;
  }
}

static void window(seed *s, const steps *n, unsigned stream) {
  frame(s, n, TTH_WINDOW, 0, stream, (const uint8_t *)"\x08\x80\x80\x04", 4);
}

/* ---- Sessions ------------------------------------------------------------------------------ */

static void owner(seed *s, unsigned step) { byte(s, 11 + step); }

static void session_server(void) {
  seed s = {.len = 0};
  uint8_t payload[256];
  const steps *n = &of_session;
  two(&s, 0x0007); /* wide limits, a greeting */
  for (unsigned stream = 1; stream <= 2; stream++) {
    frame(&s, n, TTH_HEADERS, 0, stream, payload, headers(payload, "/a/b", TETHER_SEC));
    frame(&s, n, TTH_MESSAGE, stream == 1 ? TTH_FLAG_END : 0, stream, payload, request(payload));
  }
  byte(&s, n->say);
  owner(&s, 0), byte(&s, 0), byte(&s, 0);    /* consume */
  owner(&s, 2), byte(&s, 1), two(&s, 40001); /* send a long one */
  window(&s, n, 2), byte(&s, n->say);
  byte(&s, 7), two(&s, 20000);                             /* fill */
  owner(&s, 8), byte(&s, 0), byte(&s, 2), two(&s, 1 << 6); /* finish */
  byte(&s, 7), two(&s, 20000);
  save(&s, "session_server", "replies");

  two(&s, 0x0007);
  frame(&s, n, TTH_HEADERS, 0, 1, payload, full_headers(payload, "/a/b"));
  sliced(&s, n, 1, 60000);
  byte(&s, n->say);
  frame(&s, n, TTH_HEADERS, 0, 2, payload, headers(payload, "/a/b", 0));
  for (int i = 0; i < 4; i++) byte(&s, n->message), byte(&s, 0), byte(&s, 2), two(&s, 15000);
  byte(&s, n->say);
  for (int i = 0; i < 3; i++) owner(&s, 0), byte(&s, 1), byte(&s, 128), byte(&s, 7), two(&s, 20000);
  save(&s, "session_server", "windows");

  two(&s, 0x0002);
  frame(&s, n, TTH_CANCEL, 0, 2, payload, cancel(payload, 0)); /* a tombstone */
  for (unsigned stream = 1; stream <= 3; stream++)
    frame(&s, n, TTH_HEADERS, 0, stream, payload, headers(payload, "/a/b", 0));
  byte(&s, n->say);
  owner(&s, 2), byte(&s, 0), two(&s, 9001);
  frame(&s, n, TTH_CANCEL, 0, 1, payload, cancel(payload, TETHER_SEC));
  frame(&s, n, TTH_PING, 0, 0, (const uint8_t *)"12345678901234567890123456789012", 32);
  frame(&s, n, TTH_VERDICT, 0, 1, (const uint8_t *)"\x08\x00\x10\x04", 4);
  byte(&s, n->say);
  owner(&s, 10), byte(&s, n->say); /* GOAWAY */
  byte(&s, 7), two(&s, 20000);
  save(&s, "session_server", "cancels");
}

static void session_client(void) {
  seed s = {.len = 0};
  uint8_t payload[256];
  const steps *n = &of_session;
  two(&s, 0x0007);
  owner(&s, 8), byte(&s, 2), two(&s, 1 << 6); /* unary */
  owner(&s, 8), byte(&s, 1), byte(&s, 120);   /* a stream, with a deadline */
  owner(&s, 2), byte(&s, 1), two(&s, 40001);  /* a long message on it */
  byte(&s, 7), two(&s, 20000);
  frame(&s, n, TTH_HEADERS, 0, 1, payload, full_headers(payload, ""));
  frame(&s, n, TTH_MESSAGE, TTH_FLAG_END, 1, payload, request(payload));
  frame(&s, n, TTH_TRAILERS, 0, 1, payload, trailers(payload, TETHER_OK, false));
  window(&s, n, 2);
  sliced(&s, n, 2, 60000);
  byte(&s, n->say);
  owner(&s, 5), byte(&s, 1); /* half-close */
  owner(&s, 0), byte(&s, 1), byte(&s, 0);
  frame(&s, n, TTH_TRAILERS, 0, 2, payload, trailers(payload, TETHER_DEADLINE_EXCEEDED, true));
  byte(&s, n->say);
  save(&s, "session_client", "calls");

  two(&s, 0x0103); /* one stream at once */
  for (int i = 0; i < 3; i++) owner(&s, 8), byte(&s, 2), two(&s, 1 << 6);
  byte(&s, 7), two(&s, 20000);
  owner(&s, 10), byte(&s, 0), byte(&s, 3); /* cancel, and wait */
  byte(&s, 7), two(&s, 20000);
  frame(&s, n, TTH_TRAILERS, 0, 1, payload, trailers(payload, TETHER_CANCELLED, false));
  frame(&s, n, TTH_GOAWAY, 0, 0, (const uint8_t *)"\x08\x01", 2);
  byte(&s, n->say);
  owner(&s, 11);
  byte(&s, 9); /* PING, and its answer */
  for (int i = 0; i < 8; i++) byte(&s, 7), two(&s, 20000), byte(&s, 10), byte(&s, 3), two(&s, 0x5050), byte(&s, n->say);
  save(&s, "session_client", "goaway");
}

/* ---- Calls --------------------------------------------------------------------------------- */

static void handler(seed *s, unsigned step, unsigned which) { byte(s, 64 + step), byte(s, which); }
static void caller(seed *s, unsigned step) { byte(s, 128 + step); }
static void pass(seed *s, unsigned span) { byte(s, 192), byte(s, span); }

/* A request and what the handler does with it: a byte right behind the step that says it. */
static void call_server_of(const char *subject, const steps *n) {
  static const char *const paths[] = {"/f/unary", "/f/timed", "/f/up", "/f/down", "/f/both"};
  seed s = {.len = 0};
  uint8_t payload[256];
  for (unsigned i = 0; i < 5; i++) {
    byte(&s, 0);
    frame(&s, n, TTH_HEADERS, 0, 1, payload,
          i == 1 ? full_headers(payload, paths[i]) : headers(payload, paths[i], TETHER_SEC));
    frame(&s, n, TTH_MESSAGE, TTH_FLAG_END, 1, payload, request(payload));
    byte(&s, n->say), byte(&s, i == 0 ? 0 : 2);
    handler(&s, 0, 0);                                                       /* receive */
    handler(&s, 4, 0), byte(&s, 1), byte(&s, 0), byte(&s, 1), byte(&s, 'v'); /* metadata */
    handler(&s, 2, 0), two(&s, 40001);                                       /* send */
    window(&s, n, 1), byte(&s, n->say);
    handler(&s, 2, 0), two(&s, 4 << 6);
    handler(&s, 6, 0), byte(&s, 0), byte(&s, 0); /* finish */
    save(&s, subject, paths[i] + 3);
  }
  byte(&s, 0);
  frame(&s, n, TTH_HEADERS, 0, 1, payload, full_headers(payload, "/f/both"));
  sliced(&s, n, 1, 30000);
  byte(&s, n->say), byte(&s, 2);
  frame(&s, n, TTH_CANCEL, 0, 1, payload, cancel(payload, TETHER_SEC));
  byte(&s, n->say);
  pass(&s, 120);
  handler(&s, 6, 0), byte(&s, 1), byte(&s, 1);
  save(&s, subject, "cancel");
}

/* More than one batch of events and of answers from one batch of frames; limits of a client that takes little. */
static void call_server_more(void) {
  seed s = {.len = 0};
  uint8_t payload[256];
  const steps *n = &of_call;
  byte(&s, 0);
  frame(&s, n, TTH_HEADERS, 0, 1, payload, headers(payload, "/f/both", 0));
  for (unsigned i = 0; i < 20; i++) {
    frame(&s, n, TTH_HEADERS, 0, 161, payload, headers(payload, "", 0));
    frame(&s, n, TTH_MESSAGE, 0, 1, NULL, 0), frame(&s, n, TTH_MESSAGE, 0, 1, NULL, 0);
  }
  byte(&s, n->say), byte(&s, 2);
  save(&s, "call_server", "many");
  byte(&s, 0);
  for (unsigned stream = 1; stream <= 6; stream++) {
    frame(&s, n, TTH_HEADERS, 0, stream, payload, headers(payload, "/f/both", 0));
    byte(&s, n->say), byte(&s, 2);
    for (int i = 0; i < 42; i++) byte(&s, n->message), byte(&s, 7 << 4), byte(&s, stream), two(&s, 0);
    byte(&s, n->say);
  }
  for (int i = 0; i < 40; i++) handler(&s, 0, 0);
  save(&s, "call_server", "empty");
  byte(&s, 4);
  for (unsigned stream = 1; stream <= 2; stream++) {
    frame(&s, n, TTH_HEADERS, 0, stream, payload, headers(payload, stream == 1 ? "/f/unary" : "/f/timed", 0));
    frame(&s, n, TTH_MESSAGE, TTH_FLAG_END, stream, payload, request(payload));
    byte(&s, n->say);
    if (stream == 1) byte(&s, 4), two(&s, 40001);
  }
  frame(&s, n, TTH_HEADERS, 0, 3, payload, headers(payload, "/f/unary", 0));
  frame(&s, n, TTH_MESSAGE, TTH_FLAG_END, 3, payload, request(payload));
  byte(&s, n->say), byte(&s, 2);
  handler(&s, 4, 0), byte(&s, 1), byte(&s, 0), byte(&s, 100);
  put(&s, payload, 100);
  handler(&s, 6, 0), byte(&s, 0), byte(&s, 0);
  save(&s, "call_server", "little");
}

static void start(seed *s, unsigned kind, unsigned how) {
  caller(s, 0), byte(s, kind), byte(s, how);
  if (how & 1) byte(s, 0); /* under a handler's context */
  if (how & 2) byte(s, 121);
  two(s, 4 << 6);
}

static void call_client_of(const char *subject, unsigned under) {
  seed s = {.len = 0};
  uint8_t payload[256];
  const steps *n = &of_call;
  for (unsigned kind = 0; kind < 5; kind++) {
    byte(&s, 0);
    if (under) { /* a call for the server, whose handler defers it */
      frame(&s, &of_hop, TTH_HEADERS, 0, 1, payload, full_headers(payload, "/f/up"));
      byte(&s, of_hop.say), byte(&s, 2);
    }
    start(&s, kind, under | 2 | 8);
    frame(&s, n, TTH_HEADERS, 0, 1, payload, full_headers(payload, ""));
    frame(&s, n, TTH_MESSAGE, 0, 1, (const uint8_t *)"\x0a\x02hi", 4);
    if (kind > 2) sliced(&s, n, 1, 30000);
    byte(&s, n->say);
    caller(&s, 3), byte(&s, 0);
    caller(&s, 4), byte(&s, 0), two(&s, 40001);
    caller(&s, 5), byte(&s, 0);
    frame(&s, n, TTH_TRAILERS, 0, 1, payload, trailers(payload, kind & 1 ? TETHER_DEADLINE_EXCEEDED : TETHER_OK, true));
    byte(&s, n->say);
    caller(&s, 3), byte(&s, 0);
    if (under) handler(&s, 6, 0), byte(&s, 4), byte(&s, 0);
    save(&s, subject, (const char *[]){"out-unary", "out-timed", "out-up", "out-down", "out-both"}[kind]);
  }
  byte(&s, 0x10); /* one stream at once */
  start(&s, 0, 4), start(&s, 0, 8 | 2);
  caller(&s, 6), byte(&s, 0), byte(&s, 1); /* cancel */
  pass(&s, 125);
  frame(&s, n, TTH_TRAILERS, 0, 1, payload, trailers(payload, TETHER_OK, false)); /* too late: a verdict */
  frame(&s, n, TTH_GOAWAY, 0, 0, (const uint8_t *)"\x08\x01", 2);
  byte(&s, n->say);
  byte(&s, 7); /* a new connection */
  pass(&s, 130);
  save(&s, subject, "out-late");
}

/* A handler that is cancelled by a caller who waits, and whose own call is never answered. */
static void call_hop_more(void) {
  seed s = {.len = 0};
  uint8_t payload[256];
  byte(&s, 0);
  frame(&s, &of_hop, TTH_HEADERS, 0, 1, payload, full_headers(payload, "/f/up"));
  byte(&s, of_hop.say), byte(&s, 2);
  for (int i = 0; i < 3; i++) start(&s, 0, 1 | 8);
  frame(&s, &of_hop, TTH_CANCEL, 0, 1, payload, cancel(payload, TETHER_SEC));
  byte(&s, of_hop.say);
  handler(&s, 6, 0), byte(&s, 0), byte(&s, 0);
  pass(&s, 117), pass(&s, 121);
  save(&s, "call_hop", "wait");
}

/* ---- The rest ------------------------------------------------------------------------------ */

static void others(void) {
  static const uint8_t whole[] = {1, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c'},
                       begun[] = {1, 0, 0, 0, 0, 0, 0, 3, 0xe8, 'x'};
  seed s = {.len = 0};
  s.len = full_headers(s.bytes, "/a/b");
  save(&s, "metadata", "headers");
  s.len = full_headers(s.bytes, "/a/b");
  save(&s, "headers", "full");
  put(&s, "\x08\x04", 2);
  save(&s, "headers", "trailers");
  byte(&s, 40), byte(&s, 100), byte(&s, 120);
  s.len += hop(s.bytes + s.len);
  save(&s, "ledger", "nested");
  for (unsigned ipc = 0; ipc < 2; ipc++) {
    byte(&s, 2 | ipc);
    byte(&s, 2 * (11 + ipc));
    put(&s, whole + !ipc, 11 + ipc);
    byte(&s, 2 * (9 + ipc));
    put(&s, begun + !ipc, 9 + ipc);
    byte(&s, 1), two(&s, 999);
    save(&s, "sp", ipc ? "ipc" : "tcp");
  }
}

int main(int argc, char **argv) {
  if (argc != 2) fuzz_fail("usage: fuzz_seeds FOLDER");
  folder = argv[1];
  FUZZ_CHECK(mkdir(folder, 0777) == 0 || errno == EEXIST);
  session_server();
  session_client();
  call_server_of("call_server", &of_call);
  call_server_more();
  call_server_of("call_hop", &of_hop);
  call_client_of("call_client", 0);
  call_client_of("call_hop", 1);
  call_hop_more();
  others();
  return 0;
}
