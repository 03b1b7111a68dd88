#include "index/query.h"

#include <stdio.h>
#include <string.h>

static bool in_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

const char *index_query_parse(const char *text, index_query *query) {
  if (strlen(text) > INDEX_QUERY_MAX_BYTES) return "the query is longer than 256 bytes";
  query->count = 0;
  for (const char *p = text; *p;) {
    size_t len = 0;
    while (in_word(p[len])) len++;
    if (len == 0) {
      p++;
      continue;
    }
    if (query->count == INDEX_QUERY_MAX_WORDS) return "the query has more than 16 words";
    index_word *word = &query->words[query->count++];
    memcpy(word->text, p, len);
    word->text[len] = '\0';
    word->len = len;
    word->prefix = p[len] == '*';
    p += len;
  }
  return query->count ? NULL : "the query has no words: give letters or digits";
}

void index_query_match(const index_query *query, char match[INDEX_MATCH_SIZE]) {
  size_t at = 0;
  match[0] = '\0';
  for (int i = 0; i < query->count; i++)
    at += (size_t)snprintf(match + at, INDEX_MATCH_SIZE - at, "%s\"%s\"%s", i ? " " : "", query->words[i].text,
                           query->words[i].prefix ? "*" : "");
}
