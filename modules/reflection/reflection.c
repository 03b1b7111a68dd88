/* modules/reflection/reflection.c: the service. A stream is a deferred call that answers each request before it takes
 * the next one; it never blocks, and takes no worker however long a client keeps it open.
 *
 *   `ready` (a request, or room for a response) ---> run: receive, answer, send, until one of them has to wait
 *
 * run runs once at a time: `kicks` counts who wanted it since, and whoever runs runs again for them. The end of the
 * call's context is told by receive and send, of which one is always waiting, as their code. Failures: no memory for
 * the index or the stream ends the stream RESOURCE_EXHAUSTED; the next one tries again. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <tether/reflection.h>

#include "google/protobuf/descriptor.tether.h"
#include "modules/reflection/answer.h"
#include "protobuf-c/protobuf-c.tether.h"
#include "tether/options.tether.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request;
typedef Grpc__Reflection__V1__ServerReflectionResponse response;

/* What defines options: the generator leaves it out of the imports of a file. */
static const tether_file *const always[] = {&tether_file_google_2fprotobuf_2fdescriptor_2eproto,
                                            &tether_file_protobuf_2dc_2fprotobuf_2dc_2eproto,
                                            &tether_file_tether_2foptions_2eproto};

struct tether_reflection {
  tether_method method; /* as generated, but inline */
  tether_served_method served;
  const tether_server *server;

  pthread_mutex_t mu;
  /* under mu, until it is built; then only read */
  bool built;
  tth_reflection_index index;
  const tether_file **added;
  size_t added_count;
};

/* Lives in its call's memory, and holds the call. */
typedef struct stream {
  tether_call *call;
  tth_answer *answer;
  const response *pending; /* could not be sent yet */
  atomic_uint kicks;
} stream;

/* ---- The index ----------------------------------------------------------------------------- */

static bool build(tether_reflection *reflection) {
  tth_reflection_index *index = &reflection->index;
  const tether_method *method;
  bool added = true;
  for (size_t i = 0; added && (method = tether_server_method(reflection->server, i)); i++)
    added = !method->file || tth_reflection_index_add(index, method->file);
  for (size_t i = 0; added && i < reflection->added_count; i++)
    added = tth_reflection_index_add(index, reflection->added[i]);
  for (size_t i = 0; added && i < sizeof always / sizeof always[0]; i++)
    added = tth_reflection_index_add(index, always[i]);
  return added && tth_reflection_index_finish(index);
}

/* At the first stream: by then everything is served that ever will be. */
static bool build_once(tether_reflection *reflection) {
  pthread_mutex_lock(&reflection->mu);
  bool built = reflection->built || build(reflection);
  if (!built) tth_reflection_index_fini(&reflection->index);
  reflection->built = built;
  pthread_mutex_unlock(&reflection->mu);
  return built;
}

/* ---- A stream ------------------------------------------------------------------------------ */

/* Until something has to wait; returns whether the stream is over, with *code. */
static bool work(stream *s, tether_code *code) {
  for (;;) {
    bool done;
    if (!s->pending) {
      const request *asked;
      *code = grpc_reflection_v1_server_reflection_server_reflection_info_try_recv_request(s->call, &asked, &done);
      if (*code != TETHER_OK) return true;
      if (!done) return false;
      if (!asked) return true;
      s->pending = tth_answer_make(s->answer, asked);
    }
    *code = grpc_reflection_v1_server_reflection_server_reflection_info_try_send_reply(s->call, s->pending, &done);
    if (*code != TETHER_OK) return true;
    if (!done) return false;
    s->pending = NULL;
  }
}

static void run(stream *s) {
  tether_code code;
  unsigned seen = 1;
  if (atomic_fetch_add(&s->kicks, 1) > 0) return;
  do {
    if (work(s, &code)) { /* with kicks above 0 nobody works here any more */
      tether_call *call = s->call;
      tether_call_finish(call, code);
      tether_call_unref(call);
      return;
    }
    seen = atomic_fetch_sub(&s->kicks, seen) - seen;
  } while (seen > 0);
}

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  (void)call, (void)what;
  run(data);
}

static tether_code on_stream(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *none,
                             ProtobufCMessage *reply, const void *service, void *data) {
  tether_reflection *reflection = data;
  (void)ctx, (void)none, (void)reply, (void)service;
  if (!build_once(reflection)) return TETHER_RESOURCE_EXHAUSTED;
  stream *s = tether_call_alloc(call, sizeof *s);
  if (s) s->answer = tth_answer_new(call, reflection->server, &reflection->index);
  if (!s || !s->answer) return TETHER_RESOURCE_EXHAUSTED;
  s->call = tether_call_ref(call);
  (void)tether_call_defer(call);
  tether_call_on_ready(call, on_ready, s);
  run(s);
  return TETHER_OK;
}

/* ---- The object ---------------------------------------------------------------------------- */

tether_code tether_reflection_new(tether_server *server, tether_reflection **result) {
  tether_reflection *reflection = calloc(1, sizeof *reflection);
  if (!reflection) return TETHER_RESOURCE_EXHAUSTED;
  reflection->server = server;
  pthread_mutex_init(&reflection->mu, NULL);
  reflection->method = grpc_reflection_v1_server_reflection_server_reflection_info_method;
  reflection->method.flags |= TETHER_METHOD_INLINE;
  reflection->served = (tether_served_method){&reflection->method, on_stream};
  tether_code code = tether_server_add(server, &reflection->served, 1, NULL, reflection);
  if (code == TETHER_OK)
    *result = reflection;
  else
    tether_reflection_free(reflection);
  return code;
}

void tether_reflection_free(tether_reflection *reflection) {
  if (!reflection) return;
  tth_reflection_index_fini(&reflection->index);
  pthread_mutex_destroy(&reflection->mu);
  free(reflection->added);
  free(reflection);
}

tether_code tether_reflection_add(tether_reflection *reflection, const tether_file *file) {
  tether_code code = TETHER_FAILED_PRECONDITION;
  pthread_mutex_lock(&reflection->mu);
  if (!reflection->built) {
    const tether_file **grown = realloc(reflection->added, (reflection->added_count + 1) * sizeof *grown);
    code = grown ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
    if (grown) {
      grown[reflection->added_count++] = file;
      reflection->added = grown;
    }
  }
  pthread_mutex_unlock(&reflection->mu);
  return code;
}
