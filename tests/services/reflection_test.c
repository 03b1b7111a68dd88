/* What a person, or protoc, learns of running services from the outside: tether-cli list and describe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cluster.h"

static cluster c;

static int start(void **state) {
  (void)state;
  cluster_start(&c);
  return 0;
}

static int stop(void **state) {
  (void)state;
  return cluster_stop(&c);
}

static char printed[16384];

/* Runs tether-cli; `printed` is its output and then its errors. */
static int cli(const char *command, const char *service, const char *word, const char *option, const char *value) {
  char url[128];
  process p;
  snprintf(url, sizeof url, "ipc://%s/%s.sock", c.dir, service);
  const char *args[10] = {command, "--url", url, "--timeout", "10s"};
  size_t count = 5;
  if (option) args[count++] = option;
  if (option) args[count++] = value;
  if (word) args[count++] = word;
  int status = process_run(&p, c.dir, "cli", "tether-cli", args);
  char *out = file_text(p.out), *log = file_text(p.log);
  snprintf(printed, sizeof printed, "%s%s", out, log);
  free(out);
  free(log);
  return status;
}

static void services_and_their_methods_are_listed(void **state) {
  (void)state;
  assert_int_equal(cli("list", "search", NULL, NULL, NULL), 0);
  assert_string_equal(printed, "grpc.health.v1.Health\ngrpc.reflection.v1.ServerReflection\nsearch.v1.Search\n");
  assert_int_equal(cli("list", "shard-1", NULL, NULL, NULL), 0);
  assert_string_equal(printed, "grpc.health.v1.Health\ngrpc.reflection.v1.ServerReflection\nsearch.v1.Shard\n");
  assert_int_equal(cli("list", "shard-1", "search.v1.Shard", NULL, NULL), 0);
  assert_string_equal(printed, "Search\nSearchStream\n");
  assert_int_equal(cli("list", "shard-1", "search.v1.Hit", NULL, NULL), 1);
  assert_non_null(strstr(printed, "not a service"));
}

static void a_symbol_is_described_as_in_its_proto_file(void **state) {
  static const char *const rows[][2] = {
      {"search.v1.Shard",
       "// search/v1/shard.proto\n"
       "service Shard {\n"
       "  rpc Search(search.v1.ShardSearchRequest) returns (search.v1.ShardSearchReply);\n"
       "  rpc SearchStream(search.v1.ShardSearchStreamRequest) returns (stream search.v1.ShardSearchStreamReply);\n"
       "}\n"},
      {"search.v1.Hit.name",
       "// search/v1/shard.proto\n"
       "message Hit {\n"
       "  string name = 1;\n"
       "  string version = 2;\n"
       "  string section = 3;\n"
       "  string summary = 4;\n"
       "  double score = 5;\n"
       "}\n"},
      {"grpc.health.v1.HealthCheckResponse.ServingStatus",
       "// grpc/health/v1/health.proto\n"
       "enum ServingStatus {\n"
       "  UNKNOWN = 0;\n"
       "  SERVING = 1;\n"
       "  NOT_SERVING = 2;\n"
       "  SERVICE_UNKNOWN = 3;\n"
       "}\n"},
      {"grpc.reflection.v1.ServerReflectionRequest",
       "// grpc/reflection/v1/reflection.proto\n"
       "message ServerReflectionRequest {\n"
       "  string host = 1;\n"
       "  oneof message_request {\n"
       "    string file_by_filename = 3;\n"
       "    string file_containing_symbol = 4;\n"
       "    grpc.reflection.v1.ExtensionRequest file_containing_extension = 5;\n"
       "    string all_extension_numbers_of_type = 6;\n"
       "    string list_services = 7;\n"
       "  }\n"
       "}\n"},
      {"google.protobuf.UninterpretedOption.NamePart",
       "// google/protobuf/descriptor.proto\n"
       "message NamePart {\n"
       "  required string name_part = 1;\n"
       "  required bool is_extension = 2;\n"
       "}\n"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_int_equal(cli("describe", "shard-0", rows[i][0], NULL, NULL), 0);
    assert_string_equal(printed, rows[i][1]);
  }
}

/* The files that a server sends are those that protoc makes of the sources, and complete. */
static void protoc_takes_the_descriptors_for_its_own(void **state) {
  static const char *const services[][3] = {{"shard-0", "search.v1.Shard", "search/v1/shard.proto"},
                                            {"search", "search.v1.Search", "search/v1/search.proto"}};
  char command[2048], set[128];
  (void)state;
  snprintf(set, sizeof set, "%s/set", c.dir);
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(cli("describe", services[i][0], services[i][1], "--set", set), 0);
    snprintf(command, sizeof command,
             "cd %s && text() { tr '\\n' '\\r' | sed 's/\\rfile {/\\nfile {/g' | sort; } && "
             "protoc -I %s/services/proto -I %s/proto --include_imports --descriptor_set_out=protocs %s && "
             "for f in set protocs; do protoc --decode=google.protobuf.FileDescriptorSet "
             "google/protobuf/descriptor.proto <$f >$f.text || exit 1; done && "
             "(echo; cat set.text) | text >set.sorted && (echo; cat protocs.text) | text >protocs.sorted && "
             "test -s set.sorted && cmp set.sorted protocs.sorted",
             c.dir, TESTS_SERVICES_SOURCE, TESTS_SERVICES_SOURCE, services[i][2]);
    assert_int_equal(system(command), 0);
  }
}

static void what_cannot_be_described_is_an_error(void **state) {
  (void)state;
  assert_int_equal(cli("describe", "search", "search.v1", NULL, NULL), 1); /* a package */
  assert_non_null(strstr(printed, "NOT_FOUND: Symbol not found: search.v1"));
  assert_int_equal(cli("describe", "search", "search.v1.Search.Health.x", NULL, NULL), 1);
  assert_int_equal(cli("describe", "search", "no.Such", NULL, NULL), 1);
  assert_non_null(strstr(printed, "NOT_FOUND: Symbol not found: no.Such"));
  assert_int_equal(cli("describe", "search", NULL, NULL, NULL), 2);
  assert_int_equal(cli("describe", "nobody", "no.Such", NULL, NULL), 1);
  assert_non_null(strstr(printed, "UNAVAILABLE"));
  assert_int_equal(cli("describe", "search", "search.v1.Search", "--set", "/nowhere/set"), 1);
  assert_non_null(strstr(printed, "cannot write /nowhere/set"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(services_and_their_methods_are_listed),
      cmocka_unit_test(a_symbol_is_described_as_in_its_proto_file),
      cmocka_unit_test(protoc_takes_the_descriptors_for_its_own),
      cmocka_unit_test(what_cannot_be_described_is_an_error),
  };
  return cmocka_run_group_tests(tests, start, stop);
}
