/* shard/readers.h: a fixed set of database connections, one for each worker thread. */
#ifndef SERVICES_SHARD_READERS_H
#define SERVICES_SHARD_READERS_H

#include <pthread.h>

#include "index/reader.h"

enum { SHARD_MAX_READERS = 64 };

typedef struct shard_readers {
  int64_t documents;
  int count;
  index_reader *all[SHARD_MAX_READERS];

  pthread_mutex_t lock; /* owns: */
  int idle_count;
  index_reader *idle[SHARD_MAX_READERS];
} shard_readers;

/* Opens `count` connections to the database at `path`. Errors as index_reader_open. */
TETHER_MUST_USE tether_code shard_readers_open(shard_readers *readers, const char *path, int count);
void shard_readers_close(shard_readers *readers);

/* An idle connection, NULL if there is none: never, as long as there are at most `count` users. */
index_reader *shard_readers_take(shard_readers *readers);
void shard_readers_give_back(shard_readers *readers, index_reader *reader);

#endif
