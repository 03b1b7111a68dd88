/* index/rank.h: the SQL function relevance(packages): BM25 with the statistics of the whole catalogue.
 *
 *   score = sum over words of  idf(word) * f * (k1 + 1) / (f + k1 * (1 - b + b * length / average length))
 *   idf(word) = ln((N - n + 0.5) / (n + 0.5))
 *
 * N packages in the catalogue, n of them with the word; f is how often the package has it, a hit in the name
 * counting RANK_NAME_WEIGHT times. SQLite's own bm25() is the same with N and n of one database. */
#ifndef SERVICES_INDEX_RANK_H
#define SERVICES_INDEX_RANK_H

#include <sqlite3.h>
#include <tether/ctx.h>

#include "index/query.h"

/* One connection's ranking; the function reads the query that is set when it runs. */
typedef struct index_rank {
  const index_query *query; /* set before the statement runs */
  const tether_ctx *ctx;    /* likewise: ends what SQLite itself would not interrupt */
  sqlite3_int64 matched;    /* counts the rows ranked; reset it before the statement runs */

  double total_documents;
  double average_length;
  sqlite3_stmt *documents_with_term;
} index_rank;

/* Reads the catalogue's statistics and registers relevance() with `db`. An SQLite error code. */
int index_rank_init(index_rank *rank, sqlite3 *db);
void index_rank_fini(index_rank *rank);

#endif
