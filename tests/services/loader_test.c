/* tether-load: what it makes of good and bad catalogues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "index/reader.h"
#include "support/cluster.h"

static char dir[64];

static int setup(void **state) {
  (void)state;
  make_dir(dir);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  remove_dir(dir);
  return 0;
}

static const char *in_dir(const char *name, char path[256]) {
  snprintf(path, 256, "%s/%s", dir, name);
  return path;
}

static void write_file(const char *path, const char *bytes, size_t len) {
  FILE *f = fopen(path, "we");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, len, f), len);
  fclose(f);
}

/* Loads `from` into `to`, gives the exit code and what was printed. */
static int load(const char *from, const char *to, const char *shards, char **printed) {
  char db[256];
  process p;
  const char *const args[] = {"--to", in_dir(to, db), "--shards", shards, "--from", from, NULL};
  int status = process_run(&p, dir, "load", "tether-load", args);
  *printed = file_text(p.log);
  return status;
}

static int load_text(const char *text, size_t len, char **printed) {
  char path[256];
  write_file(in_dir("input", path), text, len);
  return load(path, "db", "2", printed);
}

/* Hits of one search over all shards of a database directory. */
typedef struct found {
  int count;
  struct {
    char name[64], summary[128];
    double score;
  } hits[500];
} found;

static tether_code keep(void *data, const index_hit *hit) {
  found *f = data;
  assert_in_range(f->count, 0, 499);
  snprintf(f->hits[f->count].name, 64, "%s", hit->name);
  snprintf(f->hits[f->count].summary, 128, "%s", hit->summary);
  f->hits[f->count++].score = hit->score;
  return TETHER_OK;
}

/* limit 0: all, as found. */
static int64_t search_for(const char *to, int shards, const char *text, int limit, found *f) {
  index_query query;
  int64_t documents = 0;
  f->count = 0;
  assert_null(index_query_parse(text, &query));
  for (int i = 0; i < shards; i++) {
    char path[256];
    index_reader *reader;
    index_result result;
    snprintf(path, sizeof path, "%s/%s/shard-%d.db", dir, to, i);
    int before = f->count;
    assert_int_equal(index_reader_open(path, &reader), TETHER_OK);
    const index_search ask = {.query = &query, .limit = limit};
    assert_int_equal(index_reader_search(reader, tether_ctx_background(), &ask, keep, f, &result), TETHER_OK);
    assert_int_equal(result.matched, f->count - before);
    documents += index_reader_documents(reader);
    index_reader_close(reader);
  }
  return documents;
}

static int64_t search(const char *to, int shards, const char *text, found *f) {
  return search_for(to, shards, text, 400, f);
}

static double score_of(const found *f, const char *name) {
  for (int i = 0; i < f->count; i++)
    if (strcmp(f->hits[i].name, name) == 0) return f->hits[i].score;
  fail_msg("%s is missing", name);
  return 0;
}

static int packages_in_sample(void) {
  char *text = file_text(TESTS_SERVICES_SAMPLE);
  int count = 0;
  for (const char *p = text; (p = strstr(p, "Package: ")); p++)
    if (p == text || p[-1] == '\n') count++;
  free(text);
  return count;
}

static void every_package_is_in_exactly_one_shard(void **state) {
  char *printed;
  found f;
  (void)state;
  assert_int_equal(load(TESTS_SERVICES_SAMPLE, "db", "3", &printed), 0);
  free(printed);
  assert_int_equal(search("db", 3, "sqlite3", &f), packages_in_sample());
  for (int i = 0; i < f.count; i++)
    for (int j = 0; j < i; j++) assert_string_not_equal(f.hits[i].name, f.hits[j].name);
  assert_true(score_of(&f, "sqlite3") > 0);
}

static void scores_do_not_depend_on_the_number_of_shards(void **state) {
  static const char *const queries[] = {"editor", "command line tool", "library", "shell", "gnu", "files"};
  char *printed;
  found one, seven;
  (void)state;
  assert_int_equal(load(TESTS_SERVICES_SAMPLE, "one", "1", &printed), 0);
  free(printed);
  assert_int_equal(load(TESTS_SERVICES_SAMPLE, "seven", "7", &printed), 0);
  free(printed);
  for (size_t q = 0; q < sizeof queries / sizeof queries[0]; q++) {
    search("one", 1, queries[q], &one);
    search("seven", 7, queries[q], &seven);
    assert_true(one.count > 0);
    assert_int_equal(one.count, seven.count);
    for (int i = 0; i < one.count; i++) assert_float_equal(one.hits[i].score, score_of(&seven, one.hits[i].name), 1e-9);
  }
}

static void hits_come_best_first_and_names_count_more(void **state) {
  static const char text[] =
      "Package: alpha\nVersion: 1\nDescription: beside the zebra\n\n"
      "Package: zebra\nVersion: 1\nDescription: an animal\n\n"
      "Package: gamma\nVersion: 1\nDescription: nothing of the kind\n\n"
      "Package: delta\nVersion: 1\nDescription: nor this\n";
  char *printed, path[256];
  found f;
  (void)state;
  write_file(in_dir("input", path), text, sizeof text - 1);
  assert_int_equal(load(path, "db", "1", &printed), 0);
  free(printed);
  search("db", 1, "zebra", &f);
  assert_int_equal(f.count, 2);
  assert_string_equal(f.hits[0].name, "zebra");
  assert_true(f.hits[0].score > f.hits[1].score);
}

/* Loads bad input over a good database and checks the message and that the good one is untouched. */
static void refuses(const char *text, size_t len, const char *message) {
  char *printed, path[256];
  struct stat before, after;
  assert_int_equal(load(TESTS_SERVICES_SAMPLE, "db", "2", &printed), 0);
  free(printed);
  assert_int_equal(stat(in_dir("db/shard-0.db", path), &before), 0);
  assert_int_equal(load_text(text, len, &printed), 1);
  if (!strstr(printed, message)) fail_msg("no \"%s\" in: %s", message, printed);
  assert_non_null(strstr(printed, "as they were"));
  free(printed);
  assert_int_equal(stat(path, &after), 0);
  assert_int_equal(before.st_ino, after.st_ino);
  assert_int_equal(stat(in_dir("db/shard-0.db.new", path), &after), -1);
}

typedef struct stopper {
  int left;
  tether_ctx *cancel; /* NULL: refuses the last hit instead */
} stopper;

static tether_code stop_at_last(void *data, const index_hit *hit) {
  stopper *s = data;
  (void)hit;
  if (--s->left > 0) return TETHER_OK;
  if (!s->cancel) return TETHER_ABORTED;
  tether_ctx_cancel(s->cancel);
  return tether_ctx_err(s->cancel);
}

static void without_a_limit_every_match_comes_as_it_is_found(void **state) {
  char *printed;
  found best, all;
  (void)state;
  assert_int_equal(load(TESTS_SERVICES_SAMPLE, "db", "2", &printed), 0);
  free(printed);
  search("db", 2, "library", &best);
  search_for("db", 2, "library", 0, &all);
  assert_true(best.count > 3);
  assert_int_equal(all.count, best.count);
  bool ordered = true;
  for (int i = 0; i < all.count; i++) {
    assert_true(all.hits[i].score == score_of(&best, all.hits[i].name));
    if (strcmp(all.hits[i].name, best.hits[i].name) != 0) ordered = false;
  }
  assert_false(ordered);
}

static void a_search_ends_where_its_reader_says_so(void **state) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  char *printed, path[256];
  index_reader *reader;
  index_query query;
  index_result result;
  found all;
  (void)state;
  assert_int_equal(load(TESTS_SERVICES_SAMPLE, "db", "1", &printed), 0);
  free(printed);
  search_for("db", 1, "library", 0, &all);
  assert_int_equal(index_reader_open(in_dir("db/shard-0.db", path), &reader), TETHER_OK);
  assert_null(index_query_parse("library", &query));
  const index_search ask = {.query = &query};
  stopper refuses = {.left = 2}, cancels = {.left = 2, .cancel = ctx};
  assert_int_equal(index_reader_search(reader, ctx, &ask, stop_at_last, &refuses, &result), TETHER_ABORTED);
  assert_int_equal(result.matched, 2);
  assert_int_equal(index_reader_search(reader, ctx, &ask, stop_at_last, &cancels, &result), TETHER_CANCELLED);
  assert_int_equal(result.matched, 2);
  /* What was stopped half-way leaves nothing behind. */
  stopper none = {.left = 1000};
  assert_int_equal(index_reader_search(reader, tether_ctx_background(), &ask, stop_at_last, &none, &result), TETHER_OK);
  assert_int_equal(result.matched, all.count);
  index_reader_close(reader);
}

static void a_line_that_is_no_field_is_reported_with_its_number(void **state) {
  static const char text[] = "Package: a\nVersion: 1\n\nPackage: b\nwhat is this\n";
  (void)state;
  refuses(text, sizeof text - 1, "input:5: expected 'Field: value', found: 'what is this'");
}

static void compressed_input_is_recognised(void **state) {
  static const char text[] = "Package\0: \x1f\x8b\0\0\n";
  (void)state;
  refuses(text, sizeof text - 1, "input:1: a NUL byte in the line; is the file compressed?");
}

static void a_paragraph_without_a_name_is_reported(void **state) {
  static const char text[] = "Package: a\n\nVersion: 1\n\nPackage: b\n";
  (void)state;
  refuses(text, sizeof text - 1, "input:4: the paragraph that ends here has no 'Package:' field");
}

static void an_empty_catalogue_replaces_nothing(void **state) {
  (void)state;
  refuses("\n\n", 2, "no packages in it");
}

static void a_file_that_is_not_there_is_named(void **state) {
  char *printed;
  (void)state;
  assert_int_equal(load("/nonexistent/file", "db", "2", &printed), 1);
  assert_non_null(strstr(printed, "cannot open /nonexistent/file: No such file"));
  free(printed);
}

static void a_directory_that_cannot_be_made_is_named(void **state) {
  char *printed;
  (void)state;
  assert_int_equal(load(TESTS_SERVICES_SAMPLE, "no/such/parent", "2", &printed), 1);
  assert_non_null(strstr(printed, "no/such/parent: No such file"));
  free(printed);
}

static void fewer_shards_leave_no_database_of_the_load_before(void **state) {
  char *printed, path[256];
  struct stat s;
  (void)state;
  assert_int_equal(load(TESTS_SERVICES_SAMPLE, "db", "5", &printed), 0);
  free(printed);
  assert_int_equal(load(TESTS_SERVICES_SAMPLE, "db", "2", &printed), 0);
  free(printed);
  assert_int_equal(stat(in_dir("db/shard-1.db", path), &s), 0);
  assert_int_equal(stat(in_dir("db/shard-2.db", path), &s), -1);
  assert_int_equal(stat(in_dir("db/shard-4.db", path), &s), -1);
}

static void text_that_is_not_utf8_becomes_so(void **state) {
  static const char text[] = "Package: a\nDescription: caf\xe9 na\xc3\xafve \xf0\x9f\x90\xa7 \xed\xa0\x80 word\n";
  char *printed;
  found f;
  (void)state;
  assert_int_equal(load_text(text, sizeof text - 1, &printed), 0);
  free(printed);
  search("db", 2, "word", &f);
  assert_int_equal(f.count, 1);
  assert_string_equal(f.hits[0].summary, "caf? na\xc3\xafve \xf0\x9f\x90\xa7 ??? word");
}

static void line_ends_of_other_systems_and_a_missing_last_one_are_accepted(void **state) {
  static const char text[] =
      "Package: a\r\nVersion: 1\r\nDescription: one\r\n more\r\n\r\n\r\nPackage: b\nDescription: one";
  char *printed;
  found f;
  (void)state;
  assert_int_equal(load_text(text, sizeof text - 1, &printed), 0);
  free(printed);
  assert_int_equal(search("db", 2, "one", &f), 2);
  assert_int_equal(f.count, 2);
  assert_string_equal(f.hits[0].summary, "one");
}

static void a_file_that_is_no_database_is_not_served(void **state) {
  char path[256], url[256];
  process p;
  (void)state;
  write_file(in_dir("x.db", path), "this is not SQLite, but long enough to be looked at as a header ..............",
             75);
  snprintf(url, sizeof url, "ipc://%s/x.sock", dir);
  const char *const args[] = {"--db", path, "--listen", url, NULL};
  assert_int_equal(process_run(&p, dir, "x", "tether-shard", args), 1);
  char *printed = file_text(p.log);
  assert_non_null(strstr(printed, "was it written by tether-load?"));
  free(printed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(every_package_is_in_exactly_one_shard),
      TEST(scores_do_not_depend_on_the_number_of_shards),
      TEST(hits_come_best_first_and_names_count_more),
      TEST(without_a_limit_every_match_comes_as_it_is_found),
      TEST(a_search_ends_where_its_reader_says_so),
      TEST(a_line_that_is_no_field_is_reported_with_its_number),
      TEST(compressed_input_is_recognised),
      TEST(a_paragraph_without_a_name_is_reported),
      TEST(an_empty_catalogue_replaces_nothing),
      TEST(a_file_that_is_not_there_is_named),
      TEST(a_directory_that_cannot_be_made_is_named),
      TEST(fewer_shards_leave_no_database_of_the_load_before),
      TEST(text_that_is_not_utf8_becomes_so),
      TEST(line_ends_of_other_systems_and_a_missing_last_one_are_accepted),
      TEST(a_file_that_is_no_database_is_not_served),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
