#include "shard/readers.h"

tether_code shard_readers_open(shard_readers *readers, const char *path, int count) {
  *readers = (shard_readers){.count = 0};
  pthread_mutex_init(&readers->lock, NULL);
  for (int i = 0; i < count && i < SHARD_MAX_READERS; i++) {
    tether_code code = index_reader_open(path, &readers->all[i]);
    if (code != TETHER_OK) {
      shard_readers_close(readers);
      return code;
    }
    readers->count = i + 1;
    shard_readers_give_back(readers, readers->all[i]);
  }
  readers->documents = index_reader_documents(readers->all[0]);
  return TETHER_OK;
}

void shard_readers_close(shard_readers *readers) {
  for (int i = 0; i < readers->count; i++) index_reader_close(readers->all[i]);
  readers->count = 0;
  pthread_mutex_destroy(&readers->lock);
}

/* The one given back last is taken first: its cache is warm. */
index_reader *shard_readers_take(shard_readers *readers) {
  index_reader *reader = NULL;
  pthread_mutex_lock(&readers->lock);
  if (readers->idle_count > 0) reader = readers->idle[--readers->idle_count];
  pthread_mutex_unlock(&readers->lock);
  return reader;
}

void shard_readers_give_back(shard_readers *readers, index_reader *reader) {
  pthread_mutex_lock(&readers->lock);
  readers->idle[readers->idle_count++] = reader;
  pthread_mutex_unlock(&readers->lock);
}
