#include "bench/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Memory ---------------------------------------------------------------------------------- */

static int64_t memory_bytes(void) {
  char line[256];
  long kib = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "RssAnon: %ld kB", &kib) == 1) break;
  if (file) fclose(file);
  return (int64_t)kib * 1024;
}

/* STREAM_MARK: 0 nobody looks; MARK the server is to; then 1 + how much it has grown at most. */
#define MARK INT64_MAX

static void *watch_server(void *data) {
  int64_t begin = 0;
  (void)data;
  for (;; bench_sleep(0.002)) {
    int64_t mark = bench_count(STREAM_MARK), now = memory_bytes();
    if (mark == MARK) {
      begin = now;
      bench_count_set(STREAM_MARK, 1);
    } else if (mark > 0) {
      bench_count_max(STREAM_MARK, 1 + now - begin);
    }
  }
  return NULL;
}

static struct {
  pthread_t thread;
  atomic_bool stop;
  int64_t begin, most;
} watch;

static void *watch_client(void *data) {
  (void)data;
  for (; !atomic_load(&watch.stop); bench_sleep(0.002)) {
    int64_t now = memory_bytes();
    if (now > watch.most) watch.most = now;
  }
  return NULL;
}

void stream_memory_start(void) {
  bench_count_set(STREAM_MARK, MARK);
  while (bench_count(STREAM_MARK) == MARK) bench_sleep(0.001);
  watch.begin = watch.most = memory_bytes();
  atomic_store(&watch.stop, false);
  if (pthread_create(&watch.thread, NULL, watch_client, NULL) != 0) bench_fail("no thread");
}

void stream_memory_stop(double *client_bytes, double *server_bytes) {
  atomic_store(&watch.stop, true);
  pthread_join(watch.thread, NULL);
  *client_bytes = (double)(watch.most - watch.begin);
  *server_bytes = (double)(bench_count(STREAM_MARK) - 1);
  bench_count_set(STREAM_MARK, 0);
}

/* ---- Pace ------------------------------------------------------------------------------------ */

/* Readers that keep to the pace. */
typedef struct pacer {
  int64_t rate, begin_ns;
  uint64_t bytes;
} pacer;

static void keep_pace(pacer *p, const tether_ctx *ctx, size_t len) {
  int64_t rate = bench_count(STREAM_PACE);
  if (rate != p->rate) *p = (pacer){.rate = rate, .begin_ns = tether_now_ns()};
  if (rate == 0) return;
  p->bytes += len;
  int64_t due_ns = p->begin_ns + (int64_t)((double)p->bytes / (double)rate * TETHER_SEC);
  /* In short naps: the pace may change. */
  for (int64_t left_ns; (left_ns = due_ns - tether_now_ns()) > 0 && bench_count(STREAM_PACE) == rate;)
    if (tether_ctx_sleep(ctx, left_ns < 10 * TETHER_MS ? left_ns : 10 * TETHER_MS) != TETHER_OK) return;
}

/* ---- Server ---------------------------------------------------------------------------------- */

static tether_code upload(const tether_ctx *ctx, tether_call *call, Bench__V1__Chunk *reply, void *data) {
  const Bench__V1__Chunk *chunk;
  tether_code code;
  pacer p = {.rate = -1};
  (void)reply;
  (void)data;
  while ((code = bench_v1_flow_upload_recv_request(call, &chunk)) == TETHER_OK && chunk) {
    bench_count_add(STREAM_READ, (int64_t)chunk->data.len);
    keep_pace(&p, ctx, chunk->data.len);
  }
  return code;
}

static tether_code download(const tether_ctx *ctx, tether_call *call, const Bench__V1__Chunk *request, void *data) {
  tether_code code = TETHER_OK;
  (void)ctx;
  (void)data;
  while (code == TETHER_OK) code = bench_v1_flow_download_send_reply(call, request);
  return code;
}

static tether_code chat(const tether_ctx *ctx, tether_call *call, void *data) {
  const Bench__V1__Chunk *chunk;
  tether_code code;
  (void)ctx;
  (void)data;
  while ((code = bench_v1_flow_chat_recv_request(call, &chunk)) == TETHER_OK && chunk)
    if ((code = bench_v1_flow_chat_send_reply(call, chunk)) != TETHER_OK) break;
  return code;
}

static tether_code once(const tether_ctx *ctx, tether_call *call, const Bench__V1__Chunk *request,
                        Bench__V1__Chunk *reply, void *data) {
  (void)ctx;
  (void)call;
  (void)data;
  reply->data = request->data;
  return TETHER_OK;
}

static tether_code sink(const tether_ctx *ctx, tether_call *call, const Bench__V1__Chunk *request,
                        Bench__V1__Chunk *reply, void *data) {
  (void)ctx, (void)call, (void)request, (void)reply, (void)data;
  return TETHER_OK;
}

static tether_code wait_for_cut(const tether_ctx *ctx, tether_call *call, const Bench__V1__Chunk *request,
                                Bench__V1__Chunk *reply, void *data) {
  (void)call, (void)request, (void)reply, (void)data;
  bench_count_add(STREAM_INSIDE, 1);
  tether_code code = tether_ctx_wait(ctx, TETHER_FOREVER);
  bench_count_set(STREAM_CUT_NS, bench_now_ns());
  bench_count_add(STREAM_INSIDE, -1);
  return code;
}

static tether_code stall(const tether_ctx *ctx, tether_call *call, const Bench__V1__Chunk *request,
                         Bench__V1__Chunk *reply, void *data) {
  (void)ctx, (void)call, (void)request, (void)reply, (void)data;
  bench_count_add(STREAM_INSIDE, 1);
  while (bench_count(STREAM_PACE) != 0) continue;
  bench_count_add(STREAM_INSIDE, -1);
  return TETHER_OK;
}

void stream_serve(const bench_options *options) {
  static const bench_v1_flow_service service = {.upload = upload,
                                                .download = download,
                                                .chat = chat,
                                                .once = once,
                                                .sink = sink,
                                                .wait = wait_for_cut,
                                                .stall = stall};
  tether_server *server;
  pthread_t watcher;
  if (tether_server_open(NULL, &server) != TETHER_OK ||
      bench_v1_flow_register(server, &service, (void *)options) != TETHER_OK ||
      pthread_create(&watcher, NULL, watch_server, NULL) != 0)
    bench_fail("no server");
  ours_serve(options, server, NULL);
}

/* ---- Clients --------------------------------------------------------------------------------- */

Bench__V1__Chunk stream_chunk(size_t len) {
  static uint8_t data[4 * 1024 * 1024];
  Bench__V1__Chunk chunk = BENCH__V1__CHUNK__INIT;
  if (len > sizeof data) bench_fail("a chunk of %zu bytes", len);
  chunk.data = (ProtobufCBinaryData){.data = data, .len = len};
  return chunk;
}

static const tether_call_options when_ready = {.wait_for_ready = true};

static void *run_upload(void *data) {
  stream_mover *mover = data;
  const Bench__V1__Chunk chunk = stream_chunk(mover->chunk);
  while (bench_v1_flow_upload_send_request(mover->call, &chunk) == TETHER_OK)
    atomic_fetch_add(&mover->bytes, chunk.data.len);
  return NULL;
}

static void *run_download(void *data) {
  stream_mover *mover = data;
  const Bench__V1__Chunk *chunk;
  pacer p = {.rate = -1};
  while (bench_v1_flow_download_recv_reply(mover->call, &chunk) == TETHER_OK && chunk) {
    atomic_fetch_add(&mover->bytes, chunk->data.len);
    if (mover->paced) keep_pace(&p, tether_call_ctx(mover->call), chunk->data.len);
  }
  return NULL;
}

static void start(stream_mover *mover, void *(*run)(void *data)) {
  if (pthread_create(&mover->thread, NULL, run, mover) != 0) bench_fail("no thread");
}

void stream_upload(stream_mover *mover, tether_client *client, size_t chunk) {
  *mover = (stream_mover){.chunk = chunk};
  mover->call = bench_v1_flow_client_upload_start(client, tether_ctx_background(), &when_ready, NULL, NULL);
  start(mover, run_upload);
}

void stream_download(stream_mover *mover, tether_client *client, size_t chunk, bool paced) {
  const Bench__V1__Chunk request = stream_chunk(chunk);
  *mover = (stream_mover){.chunk = chunk, .paced = paced};
  mover->call = bench_v1_flow_client_download_start(client, tether_ctx_background(), &request, &when_ready, NULL, NULL);
  start(mover, run_download);
}

void stream_stop(stream_mover *mover) {
  tether_call_cancel(mover->call, NULL);
  pthread_join(mover->thread, NULL);
  if (tether_call_code(mover->call) != TETHER_CANCELLED)
    bench_fail("a stream ended: %s", tether_call_message(mover->call));
  tether_call_unref(mover->call);
}

void stream_wait(const stream_mover *mover, uint64_t bytes) {
  int64_t end_ns = bench_now_ns() + 30 * TETHER_SEC;
  while (atomic_load(&mover->bytes) < bytes) {
    if (bench_now_ns() > end_ns) bench_fail("a stream does not move");
    bench_sleep(0.0005);
  }
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double stream_median(double *samples, size_t count) {
  qsort(samples, count, sizeof *samples, compare);
  return count ? samples[count / 2] : 0;
}
