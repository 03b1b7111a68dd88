/* index/writer.h: builds the databases of all shards, and puts them in place only when all are complete.
 *
 * They are built beside the old ones as `shard-<i>.db.new`; a failure at any time leaves the old ones untouched. */
#ifndef SERVICES_INDEX_WRITER_H
#define SERVICES_INDEX_WRITER_H

#include <tether/base.h>

enum { INDEX_MAX_SHARDS = 64 };

typedef struct index_writer index_writer;

/* Starts `shards` databases in `directory`, which is created if missing. Errors of all functions here: what went
 * wrong is printed to standard error. */
TETHER_MUST_USE tether_code index_writer_open(const char *directory, int shards, index_writer **writer);

/* Adds a package to the shard that the hash of its name picks. */
TETHER_MUST_USE tether_code index_writer_add(index_writer *writer, const char *name, const char *version,
                                             const char *section, const char *summary);

/* Works out the catalogue's statistics, completes the databases and replaces the old ones, each atomically. Databases
 * of an earlier load with more shards are removed. */
TETHER_MUST_USE tether_code index_writer_commit(index_writer *writer);

/* Packages added to one shard. */
int64_t index_writer_documents(const index_writer *writer, int i);

/* Without a commit before, removes what was built. Takes NULL. */
void index_writer_close(index_writer *writer);

#endif
