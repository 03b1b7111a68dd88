/* bench/stream.h: what the programs about flow control share: the server's side of stream.proto, and clients that move
 * data on threads of their own. */
#ifndef TETHER_BENCH_STREAM_H
#define TETHER_BENCH_STREAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench/ours.h"
#include "stream.tether.h"

#define STREAM_MIB ((size_t)1024 * 1024)

/* What the harness's counters mean here. */
#define STREAM_PACE BENCH_HELD        /* bytes a second that slow readers read, both sides'; 0: as they come */
#define STREAM_READ BENCH_ENDED       /* bytes that Upload has read */
#define STREAM_CUT_NS BENCH_LAST_NS   /* when Wait was cancelled last */
#define STREAM_INSIDE BENCH_DONE      /* Wait and Stall handlers inside */
#define STREAM_MARK BENCH_DEADLINE_NS /* how much the server has grown since it was told to look */

/* A program's server. */
void stream_serve(const bench_options *options);

/* ---- Clients --------------------------------------------------------------------------------- */

/* One stream that moves data one way as fast as the other end lets it. */
typedef struct stream_mover {
  tether_call *call;
  pthread_t thread;
  size_t chunk;
  bool paced; /* a download whose reader keeps to the pace */
  _Atomic uint64_t bytes;
} stream_mover;

void stream_upload(stream_mover *mover, tether_client *client, size_t chunk);
void stream_download(stream_mover *mover, tether_client *client, size_t chunk, bool paced);

/* Cancels it and waits for its end. */
void stream_stop(stream_mover *mover);

/* Waits until so many bytes have been moved. */
void stream_wait(const stream_mover *mover, uint64_t bytes);

Bench__V1__Chunk stream_chunk(size_t len);

/* Sorts the samples. */
double stream_median(double *samples, size_t count);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Looks at this process's memory and the server's all the while between start and stop. */
void stream_memory_start(void);

/* How much each has grown at most. */
void stream_memory_stop(double *client_bytes, double *server_bytes);

#endif
