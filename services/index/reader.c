/* index/reader.c: one search. What stops it when its context ends is libtether-sqlite, but for two things that SQLite
 * does within one instruction, which ask the context themselves: a slow step (below) and counting the rows of a phrase
 * (index/rank.c). */
#include "index/reader.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <tether/sqlite.h>

#include "common/log.h"
#include "index/rank.h"
#include "index/schema.h"

struct index_reader {
  sqlite3 *db;
  tether_sqlite *sqlite;
  sqlite3_stmt *best; /* needs every match before it gives the first hit */
  sqlite3_stmt *all;  /* gives each match as it comes to it */
  sqlite3_stmt *slow;
  index_rank rank;
  int64_t documents;

  /* Of the search that runs. */
  int64_t slow_until_ns;
  atomic_int_least64_t ended_at_ns; /* set by note_end; 0: the context has not ended */
};

static const char best_sql[] =
    "SELECT p.name, p.version, p.section, p.summary, best.score FROM"
    " (SELECT rowid AS id, relevance(packages) AS score FROM packages WHERE packages MATCH ?1"
    "  ORDER BY score DESC LIMIT ?2) AS best"
    " JOIN packages AS p ON p.rowid = best.id ORDER BY best.score DESC, p.name";

static const char all_sql[] =
    "SELECT name, version, section, summary, relevance(packages) FROM packages WHERE packages MATCH ?1";

/* Each row costs a millisecond. */
static const char slow_sql[] =
    "WITH RECURSIVE work(more) AS (SELECT 1 UNION ALL SELECT slow_step() FROM work WHERE more)"
    " SELECT count(*) FROM work";

static void slow_step(sqlite3_context *result, int argc, sqlite3_value **argv) {
  index_reader *reader = sqlite3_user_data(result);
  (void)argc, (void)argv;
  if (tether_ctx_sleep(reader->rank.ctx, TETHER_MS) == TETHER_OK)
    sqlite3_result_int(result, tether_now_ns() < reader->slow_until_ns);
  else
    sqlite3_result_error_code(result, SQLITE_INTERRUPT);
}

/* For the logs: how much later than the context the search has ended. */
static void note_end(void *data) {
  index_reader *reader = data;
  atomic_store(&reader->ended_at_ns, tether_now_ns());
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int check_version(sqlite3 *db) {
  sqlite3_stmt *statement;
  int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL);
  if (rc != SQLITE_OK) return rc;
  rc = sqlite3_step(statement);
  if (rc == SQLITE_ROW) rc = sqlite3_column_int(statement, 0) == INDEX_VERSION ? SQLITE_OK : SQLITE_MISMATCH;
  sqlite3_finalize(statement);
  return rc;
}

static int count_documents(index_reader *reader) {
  sqlite3_stmt *statement;
  int rc = sqlite3_prepare_v2(reader->db, "SELECT value FROM meta WHERE key = '" INDEX_META_DOCUMENTS "'", -1,
                              &statement, NULL);
  if (rc != SQLITE_OK) return rc;
  rc = sqlite3_step(statement);
  if (rc == SQLITE_ROW) reader->documents = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return rc == SQLITE_ROW ? SQLITE_OK : SQLITE_CORRUPT;
}

static int prepare_one(sqlite3 *db, const char *sql, sqlite3_stmt **statement) {
  return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
}

static int prepare(index_reader *reader) {
  int rc = check_version(reader->db);
  if (rc == SQLITE_OK) rc = count_documents(reader);
  if (rc == SQLITE_OK) rc = index_rank_init(&reader->rank, reader->db);
  if (rc == SQLITE_OK)
    rc = sqlite3_create_function(reader->db, "slow_step", 0, SQLITE_UTF8, reader, slow_step, NULL, NULL);
  if (rc == SQLITE_OK) rc = prepare_one(reader->db, best_sql, &reader->best);
  if (rc == SQLITE_OK) rc = prepare_one(reader->db, all_sql, &reader->all);
  if (rc == SQLITE_OK) rc = prepare_one(reader->db, slow_sql, &reader->slow);
  if (rc == SQLITE_OK && tether_sqlite_new(reader->db, &reader->sqlite) != TETHER_OK) rc = SQLITE_NOMEM;
  return rc;
}

tether_code index_reader_open(const char *path, index_reader **out) {
  index_reader *reader = calloc(1, sizeof *reader);
  if (!reader) return TETHER_RESOURCE_EXHAUSTED;
  int rc = sqlite3_open_v2(path, &reader->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
  if (rc == SQLITE_OK) rc = prepare(reader);
  if (rc == SQLITE_OK) {
    *out = reader;
    return TETHER_OK;
  }
  if (rc == SQLITE_MISMATCH)
    svc_log_note("error", "%s: not a database of this version; run tether-load again", path);
  else
    svc_log_note("error", "%s: %s; was it written by tether-load?", path, sqlite3_errmsg(reader->db));
  index_reader_close(reader);
  return TETHER_NOT_FOUND;
}

void index_reader_close(index_reader *reader) {
  if (!reader) return;
  sqlite3_finalize(reader->best);
  sqlite3_finalize(reader->all);
  sqlite3_finalize(reader->slow);
  index_rank_fini(&reader->rank);
  tether_sqlite_free(reader->sqlite);
  sqlite3_close(reader->db);
  free(reader);
}

int64_t index_reader_documents(const index_reader *reader) { return reader->documents; }

/* ---- Searching ------------------------------------------------------------------------------ */

static tether_code run_slow(index_reader *reader, int64_t slow_ns) {
  bool row;
  reader->slow_until_ns = tether_time_add(tether_now_ns(), slow_ns);
  tether_code code = tether_sqlite_step(reader->sqlite, reader->rank.ctx, reader->slow, &row);
  sqlite3_reset(reader->slow);
  return code;
}

static const char *column_text(sqlite3_stmt *statement, int column) {
  const unsigned char *text = sqlite3_column_text(statement, column);
  return text ? (const char *)text : "";
}

/* *found is what fn ended the search with. */
static tether_code run_search(index_reader *reader, const index_search *search, index_hit_fn fn, void *data,
                              tether_code *found) {
  char match[INDEX_MATCH_SIZE];
  sqlite3_stmt *s = search->limit ? reader->best : reader->all;
  index_query_match(search->query, match);
  reader->rank.query = search->query;
  sqlite3_bind_text(s, 1, match, -1, SQLITE_STATIC);
  if (search->limit) sqlite3_bind_int(s, 2, search->limit);
  tether_code code;
  bool row = true;
  while ((code = tether_sqlite_step(reader->sqlite, reader->rank.ctx, s, &row)) == TETHER_OK && row) {
    index_hit hit = {.name = column_text(s, 0),
                     .version = column_text(s, 1),
                     .section = column_text(s, 2),
                     .summary = column_text(s, 3),
                     .score = sqlite3_column_double(s, 4)};
    *found = fn(data, &hit);
    if (*found != TETHER_OK) break;
  }
  sqlite3_reset(s);
  sqlite3_clear_bindings(s);
  return code;
}

static tether_code outcome(const index_reader *reader, const tether_ctx *ctx, tether_code code) {
  if (code == TETHER_OK || code == TETHER_RESOURCE_EXHAUSTED || code == tether_ctx_err(ctx)) return code;
  svc_log_note("error", "SQLite: %s", sqlite3_errmsg(reader->db));
  return TETHER_INTERNAL;
}

tether_code index_reader_search(index_reader *reader, const tether_ctx *ctx, const index_search *search,
                                index_hit_fn fn, void *data, index_result *result) {
  int64_t started_ns = tether_now_ns();
  tether_after after;
  reader->rank.ctx = ctx;
  reader->rank.matched = 0;
  atomic_store(&reader->ended_at_ns, 0);
  tether_ctx_after_func(ctx, &after, NULL, note_end, reader);

  tether_code code = TETHER_OK, found = TETHER_OK;
  if (search->slow_ns > 0) code = run_slow(reader, search->slow_ns);
  if (code == TETHER_OK) code = run_search(reader, search, fn, data, &found);
  int64_t ended_ns = tether_now_ns();
  code = outcome(reader, ctx, code);
  if (code == TETHER_OK) code = found;

  tether_after_stop_wait(&after);
  int64_t cut_ns = atomic_load(&reader->ended_at_ns);
  *result = (index_result){.matched = reader->rank.matched, .took_ns = ended_ns - started_ns};
  if (code != TETHER_OK && cut_ns && cut_ns < ended_ns) result->stop_delay_ns = ended_ns - cut_ns;
  return code;
}
