/* index/schema.h: what is in a shard's database. Written by index/writer.c, read by index/reader.c.
 *
 *   packages   the full-text table: name, summary (searched), version, section (stored)
 *   terms      for every term of this shard: how many packages of the WHOLE catalogue have it
 *   meta       numbers about this shard and the whole catalogue
 *
 * The catalogue-wide numbers are what makes the shards' scores comparable: BM25 weighs a word by how rare it
 * is, and a word that is rare in the catalogue may happen to be common in one shard. */
#ifndef SERVICES_INDEX_SCHEMA_H
#define SERVICES_INDEX_SCHEMA_H

/* "porter" makes "compressing" match "compression". */
#define INDEX_TABLES                                                                              \
  "CREATE VIRTUAL TABLE packages USING fts5(name, summary, version UNINDEXED, section UNINDEXED," \
  " tokenize = 'porter unicode61');"                                                              \
  "CREATE TABLE terms(term TEXT PRIMARY KEY, documents INTEGER NOT NULL) WITHOUT ROWID;"          \
  "CREATE TABLE meta(key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;"

/* Changes with the tables: a reader refuses other versions. Kept in PRAGMA user_version. */
#define INDEX_VERSION 1

/* Keys of meta. */
#define INDEX_META_DOCUMENTS "documents"             /* packages in this shard */
#define INDEX_META_TOTAL_DOCUMENTS "total_documents" /* packages in the catalogue */
#define INDEX_META_TOTAL_TERMS "total_terms"         /* words in the catalogue, repetitions counted */

#endif
