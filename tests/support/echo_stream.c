/* The callback form of Chat, as a program would write it: one loop that goes on until a try is not done, and that
 * `ready` runs again.
 *
 *   RECEIVING ──request──> reply made ──> SENDING ──sent──> RECEIVING
 *       │ end of requests, or a failure       │ a failure
 *       └────────────> finished <─────────────┘
 *
 * Calls of `ready` may overlap: whoever finds the loop running leaves word, and the loop goes round once more. */
#include "tests/support/echo_stream.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Blocking ------------------------------------------------------------------------------ */

/* A reply with memory of its own, which does not add up over a long stream. */
struct answer {
  Testing__V1__Reply reply;
  uint8_t *body;
  char text[64];
};

static tether_code answer_to(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                             struct answer *answer) {
  testing__v1__reply__init(&answer->reply);
  if (request->code) return tether_call_fail(call, (tether_code)request->code, "%s", request->name);
  snprintf(answer->text, sizeof answer->text, "hello %s", request->name);
  answer->reply.text = answer->text;
  answer->reply.body = request->body;
  if (request->reply_bytes) {
    answer->body = calloc(1, request->reply_bytes);
    if (!answer->body) return TETHER_RESOURCE_EXHAUSTED;
    answer->reply.body = (ProtobufCBinaryData){.data = answer->body, .len = request->reply_bytes};
  }
  int64_t remaining_ns = tether_ctx_remaining_ns(ctx);
  answer->reply.remaining_ns = remaining_ns == TETHER_FOREVER ? -1 : remaining_ns;
  return TETHER_OK;
}

tether_code echo_chat(const tether_ctx *ctx, tether_call *call, void *data) {
  struct echo_stats *stats = data;
  atomic_fetch_add(&stats->started, 1);
  const Testing__V1__Request *request = NULL;
  tether_code code = echo_metadata(call);
  if (code == TETHER_OK) code = testing_v1_echo_chat_recv_request(call, &request);
  while (code == TETHER_OK && request) {
    struct answer answer = {.body = NULL};
    code = answer_to(ctx, call, request, &answer);
    if (code == TETHER_OK) code = testing_v1_echo_chat_send_reply(call, &answer.reply);
    free(answer.body);
    if (code == TETHER_OK) code = testing_v1_echo_chat_recv_request(call, &request);
  }
  echo_note_end(stats, ctx);
  return code;
}

tether_code echo_upload(const tether_ctx *ctx, tether_call *call, Testing__V1__Reply *reply, void *data) {
  struct echo_stats *stats = data;
  atomic_fetch_add(&stats->started, 1);
  const Testing__V1__Request *request = NULL;
  tether_code code = echo_metadata(call);
  if (code == TETHER_OK) code = testing_v1_echo_upload_recv_request(call, &request);
  while (code == TETHER_OK && request) {
    if (request->code) return tether_call_fail(call, (tether_code)request->code, "%s", request->name);
    reply->count++;
    code = testing_v1_echo_upload_recv_request(call, &request);
  }
  echo_note_end(stats, ctx);
  return code;
}

tether_code echo_download(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request, void *data) {
  struct echo_stats *stats = data;
  atomic_fetch_add(&stats->started, 1);
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  tether_code code = echo_metadata(call);
  if (request->reply_bytes) {
    reply.body.data = tether_call_alloc(call, request->reply_bytes);
    if (!reply.body.data) return TETHER_RESOURCE_EXHAUSTED;
    reply.body.len = request->reply_bytes;
  }
  for (; code == TETHER_OK && reply.count < request->width; reply.count++)
    code = testing_v1_echo_download_send_reply(call, &reply);
  echo_note_end(stats, ctx);
  if (code == TETHER_OK && request->code)
    return tether_call_fail(call, (tether_code)request->code, "%s", request->name);
  return code;
}

/* ---- Callbacks ----------------------------------------------------------------------------- */

struct chat {
  const tether_ctx *ctx;
  struct echo_stats *stats;
  atomic_int words; /* left for the loop; > 0 while it runs */
  bool sending, finished;
  struct answer answer;
};

/* Goes on until a try is not done, or there is nothing more to do. */
static void go_on(struct chat *chat, tether_call *call) {
  tether_code code = TETHER_OK;
  while (!chat->finished) {
    bool done = true;
    const Testing__V1__Request *request = NULL;
    if (chat->sending) {
      code = testing_v1_echo_inline_chat_try_send_reply(call, &chat->answer.reply, &done);
    } else {
      code = testing_v1_echo_inline_chat_try_recv_request(call, &request, &done);
      if (code == TETHER_OK && request) code = answer_to(chat->ctx, call, request, &chat->answer);
    }
    if (code == TETHER_OK && !done) return;
    if (chat->sending || code != TETHER_OK) {
      free(chat->answer.body);
      chat->answer.body = NULL;
    }
    chat->finished = code != TETHER_OK || (!chat->sending && !request);
    chat->sending = !chat->sending;
  }
  echo_note_end(chat->stats, chat->ctx);
  tether_call_finish(call, code);
}

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  struct chat *chat = data;
  (void)what;
  if (atomic_fetch_add(&chat->words, 1) > 0) return;
  tether_call_ref(call);
  int seen = 1;
  do {
    if (!chat->finished) go_on(chat, call);
  } while ((seen = atomic_fetch_sub(&chat->words, seen) - seen) > 0);
  tether_call_unref(call);
}

/* `chat` is the call's memory: a callback holds the call while it runs. */
static tether_code start_chat(const tether_ctx *ctx, tether_call *call, struct echo_stats *stats) {
  atomic_fetch_add(&stats->started, 1);
  struct chat *chat = tether_call_alloc(call, sizeof *chat);
  if (!chat) return TETHER_RESOURCE_EXHAUSTED;
  chat->ctx = ctx;
  chat->stats = stats;
  tether_code code = echo_metadata(call);
  if (code != TETHER_OK) return code;
  tether_call_defer(call);
  tether_call_on_ready(call, on_ready, chat);
  on_ready(call, TETHER_CAN_RECV, chat);
  return TETHER_OK;
}

tether_code echo_inline_chat(const tether_ctx *ctx, tether_call *call, void *data) {
  return start_chat(ctx, call, data);
}

tether_code echo_later_chat(const tether_ctx *ctx, tether_call *call, void *data) {
  return start_chat(ctx, call, data);
}
