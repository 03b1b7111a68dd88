/* index/writer.c: happy path: open creates N databases, each inside one transaction; add inserts with a prepared
 * statement; commit gathers the term counts of all shards in a database in memory, copies to each shard the counts
 * of its own terms, ends the transactions and renames the files. */
#include "index/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "index/schema.h"

typedef struct shard {
  sqlite3 *db;
  sqlite3_stmt *insert;
  int64_t documents;
} shard;

struct index_writer {
  char directory[4000];
  int shards;
  bool committed;
  shard shard[INDEX_MAX_SHARDS];
};

/* No journal: an incomplete file is thrown away. The vocabulary table must be attached to its own database. */
static const char start_sql[] =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
    "BEGIN;" INDEX_TABLES "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', 'packages', 'row');";

static void path_of(const index_writer *writer, int i, const char *suffix, char path[4096]) {
  snprintf(path, 4096, "%s/shard-%d.db%s", writer->directory, i, suffix);
}

static tether_code database_error(const shard *s, int i, const char *doing) {
  fprintf(stderr, "tether-load: %s shard %d: %s\n", doing, i, s->db ? sqlite3_errmsg(s->db) : "out of memory");
  return TETHER_INTERNAL;
}

static tether_code file_error(const char *doing, const char *path) {
  fprintf(stderr, "tether-load: cannot %s %s: %s\n", doing, path, strerror(errno));
  return TETHER_FAILED_PRECONDITION;
}

static tether_code start_shard(index_writer *writer, int i) {
  char path[4096];
  shard *s = &writer->shard[i];
  path_of(writer, i, ".new", path);
  if (unlink(path) != 0 && errno != ENOENT) return file_error("replace", path);
  if (sqlite3_open(path, &s->db) != SQLITE_OK || sqlite3_exec(s->db, start_sql, NULL, NULL, NULL) != SQLITE_OK ||
      sqlite3_prepare_v2(s->db, "INSERT INTO packages(name, version, section, summary) VALUES(?1, ?2, ?3, ?4)", -1,
                         &s->insert, NULL) != SQLITE_OK)
    return database_error(s, i, "cannot create");
  return TETHER_OK;
}

tether_code index_writer_open(const char *directory, int shards, index_writer **out) {
  index_writer *writer = calloc(1, sizeof *writer);
  if (!writer) return TETHER_RESOURCE_EXHAUSTED;
  writer->shards = shards;
  snprintf(writer->directory, sizeof writer->directory, "%s", directory);
  tether_code code = TETHER_OK;
  if (mkdir(writer->directory, 0755) != 0 && errno != EEXIST) code = file_error("create", directory);
  for (int i = 0; code == TETHER_OK && i < shards; i++) code = start_shard(writer, i);
  if (code == TETHER_OK)
    *out = writer;
  else
    index_writer_close(writer);
  return code;
}

/* FNV-1a: spreads similar names, and stays the same wherever it runs. */
static int shard_of(const index_writer *writer, const char *name) {
  uint64_t hash = 14695981039346656037u;
  for (const unsigned char *p = (const unsigned char *)name; *p; p++) hash = (hash ^ *p) * 1099511628211u;
  return (int)(hash % (uint64_t)writer->shards);
}

tether_code index_writer_add(index_writer *writer, const char *name, const char *version, const char *section,
                             const char *summary) {
  int i = shard_of(writer, name);
  shard *s = &writer->shard[i];
  sqlite3_bind_text(s->insert, 1, name, -1, SQLITE_STATIC);
  sqlite3_bind_text(s->insert, 2, version, -1, SQLITE_STATIC);
  sqlite3_bind_text(s->insert, 3, section, -1, SQLITE_STATIC);
  sqlite3_bind_text(s->insert, 4, summary, -1, SQLITE_STATIC);
  int rc = sqlite3_step(s->insert);
  sqlite3_reset(s->insert);
  if (rc != SQLITE_DONE) return database_error(s, i, "cannot add to");
  s->documents++;
  return TETHER_OK;
}

int64_t index_writer_documents(const index_writer *writer, int i) { return writer->shard[i].documents; }

/* ---- The catalogue's statistics -------------------------------------------------------------- */

/* Runs `select` on `from` and, for each row (term, documents, occurrences), `insert` on `to`. */
static int copy_terms(sqlite3 *from, const char *select, sqlite3 *to, const char *insert) {
  sqlite3_stmt *in = NULL, *out = NULL;
  int rc = sqlite3_prepare_v2(from, select, -1, &in, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(to, insert, -1, &out, NULL);
  while (rc == SQLITE_OK && (rc = sqlite3_step(in)) == SQLITE_ROW) {
    for (int column = 0; column < sqlite3_bind_parameter_count(out); column++)
      sqlite3_bind_value(out, column + 1, sqlite3_column_value(in, column));
    rc = sqlite3_step(out);
    sqlite3_reset(out);
    if (rc == SQLITE_DONE) rc = SQLITE_OK;
  }
  sqlite3_finalize(in);
  sqlite3_finalize(out);
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int gather(index_writer *writer, sqlite3 *all) {
  int rc = sqlite3_exec(
      all, "BEGIN; CREATE TABLE all_terms(term TEXT PRIMARY KEY, documents INT, occurrences INT) WITHOUT ROWID", NULL,
      NULL, NULL);
  for (int i = 0; rc == SQLITE_OK && i < writer->shards; i++)
    rc = copy_terms(writer->shard[i].db, "SELECT term, doc, cnt FROM temp.vocabulary", all,
                    "INSERT INTO all_terms VALUES(?1, ?2, ?3) ON CONFLICT(term) DO UPDATE SET"
                    " documents = documents + excluded.documents, occurrences = occurrences + excluded.occurrences");
  return rc;
}

static int total_occurrences(sqlite3 *all, int64_t *total) {
  sqlite3_stmt *statement;
  int rc = sqlite3_prepare_v2(all, "SELECT coalesce(sum(occurrences), 0) FROM all_terms", -1, &statement, NULL);
  if (rc != SQLITE_OK) return rc;
  rc = sqlite3_step(statement);
  if (rc == SQLITE_ROW) *total = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* Copies every catalogue-wide count, then drops those whose term this shard does not have. */
static int complete_shard(const shard *s, sqlite3 *all, int64_t documents, int64_t terms) {
  char sql[600];
  int rc = copy_terms(all, "SELECT term, documents FROM all_terms", s->db, "INSERT INTO terms VALUES(?1, ?2)");
  if (rc != SQLITE_OK) return rc;
  snprintf(sql, sizeof sql,
           "DELETE FROM terms WHERE term NOT IN (SELECT term FROM temp.vocabulary);"
           "DROP TABLE temp.vocabulary;"
           "INSERT INTO meta VALUES('" INDEX_META_DOCUMENTS "', %lld), ('" INDEX_META_TOTAL_DOCUMENTS
           "', %lld), ('" INDEX_META_TOTAL_TERMS
           "', %lld);"
           "INSERT INTO packages(packages) VALUES('optimize');"
           "PRAGMA user_version = %d; COMMIT;",
           (long long)s->documents, (long long)documents, (long long)terms, INDEX_VERSION);
  return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

static tether_code complete(index_writer *writer, sqlite3 *all) {
  int64_t documents = 0, terms = 0;
  if (gather(writer, all) != SQLITE_OK || total_occurrences(all, &terms) != SQLITE_OK) {
    fprintf(stderr, "tether-load: cannot gather the term statistics: %s\n", sqlite3_errmsg(all));
    return TETHER_INTERNAL;
  }
  for (int i = 0; i < writer->shards; i++) documents += writer->shard[i].documents;
  for (int i = 0; i < writer->shards; i++)
    if (complete_shard(&writer->shard[i], all, documents, terms) != SQLITE_OK)
      return database_error(&writer->shard[i], i, "cannot complete");
  return TETHER_OK;
}

/* ---- Putting in place ------------------------------------------------------------------------ */

static int close_shard(shard *s) {
  sqlite3_finalize(s->insert);
  int rc = sqlite3_close(s->db);
  s->insert = NULL;
  s->db = NULL;
  return rc;
}

static tether_code sync_path(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  int failed = fd < 0 || fsync(fd) != 0;
  tether_code code = failed ? file_error("write", path) : TETHER_OK;
  if (fd >= 0) close(fd);
  return code;
}

static tether_code replace_all(index_writer *writer) {
  char built[4096], path[4096];
  for (int i = 0; i < writer->shards; i++) {
    path_of(writer, i, ".new", built);
    if (close_shard(&writer->shard[i]) != SQLITE_OK) return file_error("close", built);
    tether_code code = sync_path(built);
    if (code != TETHER_OK) return code;
  }
  for (int i = 0; i < writer->shards; i++) {
    path_of(writer, i, ".new", built);
    path_of(writer, i, "", path);
    if (rename(built, path) != 0) return file_error("replace", path);
  }
  for (int i = writer->shards; i < INDEX_MAX_SHARDS; i++) {
    path_of(writer, i, "", path);
    if (unlink(path) != 0 && errno != ENOENT) return file_error("remove", path);
  }
  return sync_path(writer->directory);
}

tether_code index_writer_commit(index_writer *writer) {
  sqlite3 *all;
  tether_code code = TETHER_RESOURCE_EXHAUSTED;
  if (sqlite3_open(":memory:", &all) == SQLITE_OK) code = complete(writer, all);
  sqlite3_close(all);
  if (code == TETHER_OK) code = replace_all(writer);
  writer->committed = code == TETHER_OK;
  return code;
}

void index_writer_close(index_writer *writer) {
  if (!writer) return;
  for (int i = 0; i < writer->shards; i++) {
    char path[4096];
    close_shard(&writer->shard[i]);
    path_of(writer, i, ".new", path);
    if (!writer->committed) unlink(path);
  }
  free(writer);
}
