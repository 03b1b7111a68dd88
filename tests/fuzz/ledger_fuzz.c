/* The ledger of a failed call: bytes that a server sent, and that went through servers which did not look at them. */
#include <stdlib.h>
#include <string.h>

#include "rpc/client.h"
#include "rpc/hop.h"
#include "tests/fuzz/fuzz.h"

#define MEMORY_MOST ((size_t)4 * 1024 * 1024)

static size_t check_row(const tether_ledger *row, int depth, const tether_ledger *wanted, bool *found) {
  size_t rows = 1;
  FUZZ_CHECK(depth <= TTH_LEDGER_DEPTH);
  FUZZ_CHECK(row->code >= TETHER_OK && row->code <= TETHER_UNAUTHENTICATED);
  FUZZ_CHECK(row->cause >= TETHER_CAUSE_NONE && row->cause <= TETHER_CAUSE_ENOUGH);
  FUZZ_CHECK(row->answered || row->child_count == 0);
  const char *texts[] = {row->method, row->hop, row->origin, row->text};
  for (size_t i = 0; i < 4; i++) fuzz_read(texts[i], strlen(texts[i]) + 1);
  if (row == wanted) *found = true;
  for (size_t i = 0; i < row->child_count; i++) rows += check_row(row->children[i], depth + 1, wanted, found);
  return rows;
}

/* The text is cut where the buffer ends, and is the same wherever that is. */
static void check_text(const tether_ledger *ledger, size_t rows, uint8_t width) {
  size_t len = tether_ledger_text(ledger, width, NULL, 0);
  char *whole = malloc(len + 1), *part = malloc(len / 2 + 1);
  if (!whole || !part) abort();
  FUZZ_CHECK(tether_ledger_text(ledger, width, whole, len + 1) == len && strlen(whole) == len);
  FUZZ_CHECK(tether_ledger_text(ledger, width, part, len / 2 + 1) == len);
  FUZZ_CHECK(strlen(part) == len / 2 && memcmp(whole, part, len / 2) == 0);
  size_t lines = 0;
  for (const char *at = whole; *at; at++) lines += *at == '\n';
  FUZZ_CHECK(lines >= rows + 2);
  free(whole);
  free(part);
}

/* As a server does that hands them up. */
static void check_shortened(const uint8_t *bytes, size_t len, size_t room) {
  uint8_t *to = malloc(room);
  if (!to) abort();
  size_t shorter = tth_hop_shorten(bytes, len, to, room);
  FUZZ_CHECK(shorter <= room);
  fuzz_read(to, shorter);
  free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  static const tether_method method = {.path = "/a.B/C"};
  fuzz_input in = {input, size};
  uint8_t width = fuzz_byte(&in);
  size_t before = fuzz_allocated();
  tether_call *call = tth_client_call_refused(&method, TETHER_DEADLINE_EXCEEDED, "too late");
  call->c.started_ns = TETHER_SEC;
  call->c.left_ns = call->c.started_ns + fuzz_span_ns(&in);
  call->c.ended_ns = tether_time_add(call->c.left_ns, fuzz_span_ns(&in));
  call->c.hop = (ProtobufCBinaryData){.data = (uint8_t *)in.at, .len = in.left};
  const tether_ledger *ledger = tether_call_ledger(call), *row = NULL;
  FUZZ_CHECK(ledger && fuzz_allocated() <= before + MEMORY_MOST);
  tether_phase phase = TETHER_PHASE_NONE;
  int64_t spent_ns = -1;
  tether_ledger_blame(ledger, &row, &phase, &spent_ns);
  bool found = false;
  size_t rows = check_row(ledger, 0, row, &found);
  FUZZ_CHECK(found && spent_ns >= 0 && phase >= TETHER_PHASE_NONE && phase <= TETHER_PHASE_RESOLVING);
  check_text(ledger, rows, width);
  check_shortened(in.at, in.left, (size_t)width * 16 + 1);
  tether_call_unref(call);
  return 0;
}
