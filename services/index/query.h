/* index/query.h: what a user typed, as words. */
#ifndef SERVICES_INDEX_QUERY_H
#define SERVICES_INDEX_QUERY_H

#include <stdbool.h>
#include <stddef.h>

enum { INDEX_QUERY_MAX_BYTES = 256, INDEX_QUERY_MAX_WORDS = 16 };

typedef struct index_word {
  char text[INDEX_QUERY_MAX_BYTES + 1];
  size_t len;
  bool prefix; /* was followed by '*' */
} index_word;

typedef struct index_query {
  index_word words[INDEX_QUERY_MAX_WORDS];
  int count;
} index_query;

/* Splits `text` into words: letters, digits and everything beyond ASCII belong to words, the rest separates.
 * NULL on success, else what is wrong, for the user. */
const char *index_query_parse(const char *text, index_query *query);

/* Writes the query in FTS5's language: every word quoted, so that nothing the user types is an operator. */
enum { INDEX_MATCH_SIZE = INDEX_QUERY_MAX_BYTES + INDEX_QUERY_MAX_WORDS * 4 + 1 };
void index_query_match(const index_query *query, char match[INDEX_MATCH_SIZE]);

#endif
