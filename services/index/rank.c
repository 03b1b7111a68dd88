/* index/rank.c: see the header for the formula. SQLite calls relevance() once per matching row; the words'
 * weights are worked out at a query's first row and kept with FTS5's cursor (auxdata).
 *
 * The number of packages with a word comes from the terms table. Two cases have no row there: a prefix, and a
 * word that the tokenizer splits. They are counted in this shard and scaled up. */
#include "index/rank.h"

#include <math.h>
#include <string.h>

#include "index/schema.h"

static const double RANK_K1 = 1.2, RANK_B = 0.75, RANK_NAME_WEIGHT = 4.0;

typedef struct weights {
  int count;
  double idf[];
} weights;

typedef struct token {
  char text[INDEX_QUERY_MAX_BYTES + 1];
  int len;
  int count;
} token;

static int keep_token(void *data, int flags, const char *text, int len, int start, int end) {
  token *t = data;
  (void)flags, (void)start, (void)end;
  t->count++;
  t->len = len;
  if ((size_t)len >= sizeof t->text) return SQLITE_TOOBIG;
  memcpy(t->text, text, (size_t)len);
  return SQLITE_OK;
}

/* -1: not known. */
static double documents_with(index_rank *rank, const Fts5ExtensionApi *fts, Fts5Context *cursor,
                             const index_word *word) {
  token t = {.count = 0};
  double n = -1;
  if (word->prefix || fts->xTokenize(cursor, word->text, (int)word->len, &t, keep_token) != SQLITE_OK || t.count != 1)
    return n;
  sqlite3_bind_text(rank->documents_with_term, 1, t.text, t.len, SQLITE_STATIC);
  if (sqlite3_step(rank->documents_with_term) == SQLITE_ROW) n = sqlite3_column_double(rank->documents_with_term, 0);
  sqlite3_reset(rank->documents_with_term);
  return n;
}

typedef struct tally {
  const tether_ctx *ctx;
  sqlite3_int64 rows;
} tally;

static int count_row(const Fts5ExtensionApi *fts, Fts5Context *cursor, void *data) {
  tally *t = data;
  (void)fts, (void)cursor;
  t->rows++;
  return tether_ctx_err(t->ctx) == TETHER_OK ? SQLITE_OK : SQLITE_INTERRUPT;
}

static int documents_with_scaled(const index_rank *rank, const Fts5ExtensionApi *fts, Fts5Context *cursor, int phrase,
                                 double *n) {
  tally here = {.ctx = rank->ctx};
  sqlite3_int64 rows = 0;
  int rc = fts->xQueryPhrase(cursor, phrase, &here, count_row);
  if (rc == SQLITE_OK) rc = fts->xRowCount(cursor, &rows);
  if (rc == SQLITE_OK) *n = rows ? (double)here.rows * rank->total_documents / (double)rows : 0;
  return rc;
}

static int make_weights(index_rank *rank, const Fts5ExtensionApi *fts, Fts5Context *cursor, weights **out) {
  int count = fts->xPhraseCount(cursor);
  weights *w = sqlite3_malloc64(sizeof *w + (size_t)count * sizeof w->idf[0]);
  if (!w) return SQLITE_NOMEM;
  w->count = count;
  for (int i = 0; i < count; i++) {
    double n = i < rank->query->count ? documents_with(rank, fts, cursor, &rank->query->words[i]) : -1;
    int rc = n < 0 ? documents_with_scaled(rank, fts, cursor, i, &n) : SQLITE_OK;
    if (rc != SQLITE_OK) {
      sqlite3_free(w);
      return rc;
    }
    double idf = log((rank->total_documents - n + 0.5) / (n + 0.5));
    w->idf[i] = idf > 1e-6 ? idf : 1e-6; /* a word in more than half of all packages tells nothing */
  }
  *out = w;
  return fts->xSetAuxdata(cursor, w, sqlite3_free); /* frees w itself if it fails */
}

static int score_row(const index_rank *rank, const weights *w, const Fts5ExtensionApi *fts, Fts5Context *cursor,
                     double *score) {
  double frequency[INDEX_QUERY_MAX_WORDS] = {0};
  int hits = 0, length = 0;
  int rc = fts->xInstCount(cursor, &hits);
  for (int i = 0; rc == SQLITE_OK && i < hits; i++) {
    int phrase, column, offset;
    rc = fts->xInst(cursor, i, &phrase, &column, &offset);
    if (rc == SQLITE_OK && phrase < INDEX_QUERY_MAX_WORDS) frequency[phrase] += column == 0 ? RANK_NAME_WEIGHT : 1.0;
  }
  if (rc == SQLITE_OK) rc = fts->xColumnSize(cursor, -1, &length);
  if (rc != SQLITE_OK) return rc;

  double norm = RANK_K1 * (1 - RANK_B + RANK_B * length / rank->average_length);
  *score = 0;
  for (int i = 0; i < w->count && i < INDEX_QUERY_MAX_WORDS; i++)
    *score += w->idf[i] * frequency[i] * (RANK_K1 + 1) / (frequency[i] + norm);
  return SQLITE_OK;
}

static void relevance(const Fts5ExtensionApi *fts, Fts5Context *cursor, sqlite3_context *result, int argc,
                      sqlite3_value **argv) {
  index_rank *rank = fts->xUserData(cursor);
  weights *w = fts->xGetAuxdata(cursor, 0);
  double score = 0;
  (void)argc, (void)argv;
  int rc = w ? SQLITE_OK : make_weights(rank, fts, cursor, &w);
  if (rc == SQLITE_OK) rc = score_row(rank, w, fts, cursor, &score);
  rank->matched++;
  if (rc == SQLITE_OK)
    sqlite3_result_double(result, score);
  else
    sqlite3_result_error_code(result, rc);
}

static int register_function(index_rank *rank, sqlite3 *db) {
  fts5_api *api = NULL;
  sqlite3_stmt *statement;
  int rc = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &statement, NULL);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_pointer(statement, 1, &api, "fts5_api_ptr", NULL);
  sqlite3_step(statement);
  sqlite3_finalize(statement);
  return api ? api->xCreateFunction(api, "relevance", rank, relevance, NULL) : SQLITE_ERROR;
}

static int read_number(sqlite3 *db, const char *key, double *number) {
  sqlite3_stmt *statement;
  int rc = sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE key = ?1", -1, &statement, NULL);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
  rc = sqlite3_step(statement);
  if (rc == SQLITE_ROW) *number = sqlite3_column_double(statement, 0);
  sqlite3_finalize(statement);
  return rc == SQLITE_ROW ? SQLITE_OK : SQLITE_CORRUPT;
}

int index_rank_init(index_rank *rank, sqlite3 *db) {
  double terms = 0;
  *rank = (index_rank){.query = NULL};
  int rc = read_number(db, INDEX_META_TOTAL_DOCUMENTS, &rank->total_documents);
  if (rc == SQLITE_OK) rc = read_number(db, INDEX_META_TOTAL_TERMS, &terms);
  if (rc == SQLITE_OK)
    rc = sqlite3_prepare_v3(db, "SELECT documents FROM terms WHERE term = ?1", -1, SQLITE_PREPARE_PERSISTENT,
                            &rank->documents_with_term, NULL);
  rank->average_length = rank->total_documents > 0 && terms > 0 ? terms / rank->total_documents : 1;
  return rc == SQLITE_OK ? register_function(rank, db) : rc;
}

void index_rank_fini(index_rank *rank) { sqlite3_finalize(rank->documents_with_term); }
