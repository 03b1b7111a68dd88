/* Ledgers that are larger than what they may take of TRAILERS: what is left out is counted where it was, and the rows
 * above it say what they always say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/ledger.h>

#include "rpc/client.h"
#include "rpc/hop.h"
#include "rpc/recorder.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

/* ---- Over calls ----------------------------------------------------------------------------- */

enum { DEPTH = 4, LEAVES = TTH_RECORDER_LEGS };

/* Starts a call whose handler is the test, and takes the handler's side. */
static tether_call *start(struct rpc_fixture *f, const tether_ctx *ctx, tether_call **handler) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_handed_client_unary_start(f->client, ctx, &request, NULL, NULL, NULL);
  *handler = echo_take_handed(&f->stats);
  assert_non_null(*handler);
  return call;
}

/* Calls under this context that are cancelled with a cause of many words: rows of a kilobyte each. */
static void fail_in_many_words(struct rpc_fixture *f, const tether_ctx *ctx) {
  char words[1000];
  memset(words, 'w', sizeof words - 1);
  words[sizeof words - 1] = 0;
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, "far-away", words);
  for (int i = 0; i < LEAVES; i++) {
    TETHER_SCOPED tether_ctx *own = tether_ctx_with_cancel(ctx);
    tether_call *handler;
    TETHER_SCOPED_CALL tether_call *call = start(f, own, &handler);
    tether_ctx_cancel_cause(own, cause);
    assert_int_equal(tether_call_wait(call), TETHER_CANCELLED);
    echo_finish_handed(handler, TETHER_OK);
    assert_int_equal(tether_call_wait_ledger(call, RPC_TEST_BOUND_NS), TETHER_OK);
  }
  tether_cause_unref(cause);
}

static void rows_that_do_not_fit_are_counted_however_far_up_they_come(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  tether_call *calls[DEPTH], *handlers[DEPTH];
  for (int i = 0; i < DEPTH; i++) calls[i] = start(f, i ? tether_call_ctx(handlers[i - 1]) : ctx, &handlers[i]);
  fail_in_many_words(f, tether_call_ctx(handlers[DEPTH - 1]));
  for (int i = DEPTH - 1; i >= 0; i--) {
    echo_finish_handed(handlers[i], TETHER_ABORTED);
    assert_int_equal(tether_call_wait(calls[i]), TETHER_ABORTED);
  }
  for (int i = 0; i < DEPTH; i++) { /* as each of the callers sees it */
    const tether_ledger *row = tether_call_ledger(calls[i]);
    for (int j = i; j < DEPTH - 1; j++) {
      assert_true(row->answered && row->child_count == 1 && row->cut == 0);
      row = row->children[0];
    }
    assert_true(row->answered && row->own_ns > 0);
    assert_int_equal(row->child_count + row->cut, LEAVES);
    assert_true(row->child_count >= 2 && row->cut >= 2);
    for (size_t j = 0; j < row->child_count; j++) {
      assert_int_equal(row->children[j]->cause, TETHER_CAUSE_OTHER);
      assert_string_equal(row->children[j]->origin, "far-away");
      assert_int_equal(strlen(row->children[j]->text), 999);
    }
    char text[8192], more[32];
    snprintf(more, sizeof more, "%zu more\n", row->cut);
    assert_true(tether_ledger_text(tether_call_ledger(calls[i]), 10, text, sizeof text) < sizeof text);
    assert_non_null(strstr(text, more));
  }
  for (int i = 0; i < DEPTH; i++) tether_call_unref(calls[i]);
}

/* ---- As bytes ------------------------------------------------------------------------------- */

#define SIZE_MOST ((size_t)64 * 1024)

/* A leg: its method is `number`, letters, as many as said. */
struct planned {
  size_t letters;
  tether_code code;
  ProtobufCBinaryData hop; /* inside; freed with it */
};

static ProtobufCBinaryData pack(const struct planned *legs, size_t count, uint32_t cut) {
  static char texts[TTH_RECORDER_LEGS][8192];
  Tether__V1__Leg rows[TTH_RECORDER_LEGS], *places[TTH_RECORDER_LEGS];
  Tether__V1__Hop hop = TETHER__V1__HOP__INIT;
  for (size_t i = 0; i < count; i++) {
    tether__v1__leg__init(places[i] = &rows[i]);
    int len = snprintf(texts[i], sizeof texts[i], "%zu", i);
    memset(texts[i] + len, 'x', legs[i].letters);
    texts[i][(size_t)len + legs[i].letters] = 0;
    rows[i].method = texts[i];
    rows[i].has_code = true;
    rows[i].code = legs[i].code;
    rows[i].has_hop = legs[i].hop.data != NULL;
    rows[i].hop = legs[i].hop;
    rows[i].has_attempts = true; /* a field that comes behind the Hop */
    rows[i].attempts = 3;
  }
  hop.name = (char *)"somebody";
  hop.has_own_ns = true;
  hop.own_ns = 7 * TETHER_MS;
  hop.legs = places;
  hop.n_legs = count;
  hop.has_cut = cut > 0;
  hop.cut = cut;
  ProtobufCBinaryData bytes = {.data = malloc(SIZE_MOST)};
  assert_non_null(bytes.data);
  bytes.len = tether__v1__hop__pack(&hop, bytes.data);
  assert_true(bytes.len <= SIZE_MOST);
  for (size_t i = 0; i < count; i++) free(legs[i].hop.data);
  return bytes;
}

/* Shortens, and reads what that has made; releases `bytes`. */
static Tether__V1__Hop *shortened(ProtobufCBinaryData bytes, size_t room) {
  uint8_t *to = malloc(room);
  assert_non_null(to);
  size_t len = tth_hop_shorten(bytes.data, bytes.len, to, room);
  assert_true(len > 0 && len <= room);
  Tether__V1__Hop *hop = tether__v1__hop__unpack(NULL, len, to);
  assert_non_null(hop);
  assert_string_equal(hop->name, "somebody");
  assert_int_equal(hop->own_ns, 7 * TETHER_MS);
  free(to);
  free(bytes.data);
  return hop;
}

static void calls_that_failed_are_kept_before_others_and_all_in_their_order(void **state) {
  (void)state;
  static const tether_code codes[] = {TETHER_OK, TETHER_ABORTED, TETHER_OK, TETHER_OK, TETHER_ABORTED, TETHER_ABORTED};
  static const int kept[] = {0, 1, 4, 5};
  struct planned legs[6];
  for (size_t i = 0; i < 6; i++) legs[i] = (struct planned){.letters = 900, .code = codes[i]};
  Tether__V1__Hop *hop = shortened(pack(legs, 6, 5), 4000);
  assert_int_equal(hop->n_legs, 4);
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(atoi(hop->legs[i]->method), kept[i]);
    assert_int_equal(hop->legs[i]->code, codes[kept[i]]);
  }
  assert_int_equal(hop->cut, 5 + 2);
  tether__v1__hop__free_unpacked(hop, NULL);
}

/* A chain of single calls, with `wide` rows of a kilobyte at its end. */
static ProtobufCBinaryData chain(int depth, size_t wide, tether_code code) {
  struct planned last[TTH_RECORDER_LEGS];
  for (size_t i = 0; i < wide; i++) last[i] = (struct planned){.letters = 1000, .code = code};
  ProtobufCBinaryData bytes = pack(last, wide, 0);
  for (int i = 0; i < depth; i++) bytes = pack(&(struct planned){.code = code, .hop = bytes}, 1, 0);
  return bytes;
}

static void what_is_too_long_is_shortened_where_it_is_however_deep(void **state) {
  (void)state;
  static const tether_code codes[] = {TETHER_OK, TETHER_DEADLINE_EXCEEDED};
  for (int i = 0; i < 2; i++) {
    for (int depth = 0; depth < 20; depth++) {
      Tether__V1__Hop *hop = shortened(chain(depth, 12, codes[i]), 4096), *inner = hop, *owned[20];
      for (int j = 0; j < depth; j++) {
        assert_int_equal(inner->n_legs, 1);
        assert_int_equal(inner->cut, 0);
        assert_int_equal(inner->legs[0]->attempts, 3);
        inner = owned[j] = tether__v1__hop__unpack(NULL, inner->legs[0]->hop.len, inner->legs[0]->hop.data);
        assert_non_null(inner);
        assert_int_equal(inner->own_ns, 7 * TETHER_MS);
      }
      assert_true(inner->n_legs >= 2 && inner->n_legs <= 4);
      assert_int_equal(inner->n_legs + inner->cut, 12);
      for (int j = 0; j < depth; j++) tether__v1__hop__free_unpacked(owned[j], NULL);
      tether__v1__hop__free_unpacked(hop, NULL);
    }
  }
}

/* A failed call whose server sent this. */
static tether_call *call_that_heard(ProtobufCBinaryData hop) {
  static const tether_method method = {.path = "/a.B/C"};
  tether_call *call = tth_client_call_refused(&method, TETHER_ABORTED, "refused");
  call->c.ended_ns = call->c.started_ns + TETHER_SEC;
  call->c.hop = hop;
  return call;
}

static void calls_deeper_than_a_ledger_is_read_are_counted_in_the_last_row(void **state) {
  (void)state;
  enum { MADE = 40, WIDE = 3 };
  char text[16 * 1024];
  for (int depth = TTH_LEDGER_DEPTH - 2; depth <= MADE; depth++) {
    ProtobufCBinaryData bytes = chain(depth, WIDE, TETHER_ABORTED);
    TETHER_SCOPED_CALL tether_call *call = call_that_heard(bytes);
    const tether_ledger *row = tether_call_ledger(call);
    int deep = 0;
    for (; row->child_count == 1; deep++) {
      assert_true(row->answered && row->own_ns == 7 * TETHER_MS);
      assert_int_equal(row->cut, 0);
      row = row->children[0];
    }
    assert_int_equal(deep, depth < TTH_LEDGER_DEPTH ? depth : TTH_LEDGER_DEPTH);
    assert_true(row->answered && row->own_ns == 7 * TETHER_MS); /* what it says of itself is read */
    assert_int_equal(row->child_count, depth < TTH_LEDGER_DEPTH ? WIDE : 0);
    assert_int_equal(row->cut, depth < TTH_LEDGER_DEPTH ? 0 : depth == TTH_LEDGER_DEPTH ? WIDE : 1);
    assert_true(tether_ledger_text(tether_call_ledger(call), 10, text, sizeof text) < sizeof text);
    const char *more = strstr(text, " more\n");
    assert_int_equal(more != NULL, row->cut > 0);
    if (more) assert_int_equal(more[-1], '0' + (int)row->cut);
    for (char *line = strtok(text, "\n"); line && strncmp(line, "most", 4) != 0; line = strtok(NULL, "\n"))
      assert_true(strstr(line, "/a.B/C ") || strstr(line, " 0 ") || strstr(line, "xxx") || strstr(line, " more"));
    free(bytes.data);
  }
}

static void what_is_too_deep_to_be_shortened_is_counted_above(void **state) {
  (void)state;
  Tether__V1__Hop *hop = shortened(chain(40, 12, TETHER_ABORTED), 4096), *inner;
  for (int depth = 0; depth < TTH_LEDGER_DEPTH - 1; depth++, hop = inner) {
    assert_int_equal(hop->n_legs, 1);
    assert_int_equal(hop->cut, 0);
    inner = tether__v1__hop__unpack(NULL, hop->legs[0]->hop.len, hop->legs[0]->hop.data);
    assert_non_null(inner);
    tether__v1__hop__free_unpacked(hop, NULL);
  }
  assert_int_equal(hop->n_legs, 0);
  assert_int_equal(hop->cut, 1);
  tether__v1__hop__free_unpacked(hop, NULL);
}

static void every_length_is_kept(void **state) {
  (void)state;
  for (size_t room = 1; room < 3000; room++) {
    ProtobufCBinaryData bytes = chain(3, 2, TETHER_ABORTED);
    uint8_t *to = malloc(room); /* a sanitizer sees what is beyond */
    assert_non_null(to);
    size_t len = tth_hop_shorten(bytes.data, bytes.len, to, room);
    assert_true(len <= room);
    Tether__V1__Hop *hop = len ? tether__v1__hop__unpack(NULL, len, to) : NULL;
    assert_true(len == 0 ? room < 24 : hop && hop->n_legs + hop->cut == 1);
    if (hop) tether__v1__hop__free_unpacked(hop, NULL);
    free(to);
    free(bytes.data);
  }
}

static void bytes_that_are_no_hop_are_not_handed_up(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
  } bad[] = {{"\x3a", 1}, {"\x3a\x05\x01", 3}, {"\x0b", 1}, {"\x41\x00", 2}, {"\x10\xff", 2}};
  uint8_t to[64];
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(tth_hop_shorten((const uint8_t *)bad[i].bytes, bad[i].len, to, sizeof to), 0);
}

/* ---- In the notes of a handler -------------------------------------------------------------- */

static void an_answer_that_comes_late_is_shortened_too(void **state) {
  (void)state;
  tth_recorder *recorder = tth_recorder_new(true, 0);
  assert_non_null(recorder);
  Tether__V1__Leg leg = TETHER__V1__LEG__INIT;
  leg.has_code = true;
  leg.code = TETHER_DEADLINE_EXCEEDED;
  unsigned row = tth_recorder_call_ended(recorder, &leg);
  ProtobufCBinaryData late = chain(0, 7, TETHER_ABORTED), packed[2];
  tth_recorder_call_explained(recorder, row, &late);
  free(late.data);
  Tether__V1__Hop own = TETHER__V1__HOP__INIT;
  for (int i = 0; i < 2; i++) assert_true(tth_recorder_pack(recorder, &own, &packed[i]));
  assert_int_equal(packed[0].len, packed[1].len);
  assert_memory_equal(packed[0].data, packed[1].data, packed[0].len);
  Tether__V1__Hop *hop = tether__v1__hop__unpack(NULL, packed[0].len, packed[0].data);
  assert_true(hop && hop->n_legs == 1 && hop->legs[0]->has_hop);
  Tether__V1__Hop *inner = tether__v1__hop__unpack(NULL, hop->legs[0]->hop.len, hop->legs[0]->hop.data);
  assert_true(inner && inner->n_legs >= 2 && inner->n_legs + inner->cut == 7);
  tether__v1__hop__free_unpacked(inner, NULL);
  tether__v1__hop__free_unpacked(hop, NULL);
  for (int i = 0; i < 2; i++) free(packed[i].data);
  tth_recorder_unref(recorder);
}

static void rows_beyond_the_bytes_there_are_count_once_however_often_they_are_packed(void **state) {
  (void)state;
  tth_recorder *recorder = tth_recorder_new(true, 0);
  assert_non_null(recorder);
  char words[1000];
  memset(words, 'w', sizeof words - 1);
  words[sizeof words - 1] = 0;
  Tether__V1__Leg leg = TETHER__V1__LEG__INIT;
  leg.method = words;
  for (int i = 0; i < TTH_RECORDER_LEGS + 3; i++) (void)tth_recorder_call_ended(recorder, &leg);
  for (int i = 0; i < 2; i++) {
    Tether__V1__Hop own = TETHER__V1__HOP__INIT;
    ProtobufCBinaryData packed;
    assert_true(tth_recorder_pack(recorder, &own, &packed));
    assert_true(packed.len <= TTH_LEDGER_MOST);
    Tether__V1__Hop *hop = tether__v1__hop__unpack(NULL, packed.len, packed.data);
    assert_true(hop && hop->n_legs == 8);
    assert_int_equal(hop->n_legs + hop->cut, TTH_RECORDER_LEGS + 3);
    tether__v1__hop__free_unpacked(hop, NULL);
    free(packed.data);
  }
  tth_recorder_unref(recorder);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(rows_that_do_not_fit_are_counted_however_far_up_they_come),
      cmocka_unit_test(calls_that_failed_are_kept_before_others_and_all_in_their_order),
      cmocka_unit_test(what_is_too_long_is_shortened_where_it_is_however_deep),
      cmocka_unit_test(calls_deeper_than_a_ledger_is_read_are_counted_in_the_last_row),
      cmocka_unit_test(what_is_too_deep_to_be_shortened_is_counted_above),
      cmocka_unit_test(every_length_is_kept),
      cmocka_unit_test(bytes_that_are_no_hop_are_not_handed_up),
      cmocka_unit_test(an_answer_that_comes_late_is_shortened_too),
      cmocka_unit_test(rows_beyond_the_bytes_there_are_count_once_however_often_they_are_packed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
