/* cli/search.c: the query, in one piece or hit by hit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/ledger.h>
#include <tether/trace.h>

#include "cli/cli.h"
#include "common/slow.h"
#include "search/v1/search.tether.h"

enum { QUERY_SIZE = 512 };

static const char *slow;
static int limit; /* 0: the default */
static bool stream, explain;

static const svc_option options[] = {
    CLI_COMMON_OPTIONS,
    {"limit", "N", "hits to show; default 20, at most 100; with --stream default all, at most 4096", SVC_COUNT, &limit},
    {"stream", NULL, "show each hit as soon as it is found, in no order", SVC_FLAG, &stream},
    {"slow", "SHARD:DURATION", "make a shard slow, if it was started with --allow-slow", SVC_TEXT, &slow},
    {"explain", NULL, "show where the time went, process by process", SVC_FLAG, &explain},
    {0},
};

static void join_words(char query[QUERY_SIZE], int argc, char **argv) {
  size_t at = 0;
  query[0] = '\0';
  for (int i = 0; i < argc; i++) {
    int n = snprintf(query + at, QUERY_SIZE - at, "%s%s", at ? " " : "", argv[i]);
    if ((size_t)n >= QUERY_SIZE - at) cli_usage_error("the query is longer than %d bytes", QUERY_SIZE - 1);
    at += (size_t)n;
  }
}

static void print_trace(const tether_ctx *ctx) {
  tether_trace trace;
  char text[TETHER_TRACEPARENT_SIZE];
  if (!tether_trace_get(ctx, &trace)) return;
  tether_trace_format(&trace, text);
  printf("trace   %.32s\n", text + 3);
}

static void print_head(void) {
  printf("%6s  %-32s %-18s %-12s %s\n", "SCORE", "PACKAGE", "VERSION", "SECTION", "SUMMARY");
}

static void print_hit(const Search__V1__Hit *hit) {
  printf("%6.2f  %-32s %-18.18s %-12.12s %s\n", hit->score, hit->name, hit->version, hit->section, hit->summary);
}

static void print_shards(Search__V1__ShardStatus *const *shards, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (*shards[i]->cause && shards[i]->state != SEARCH__V1__SHARD_STATUS__STATE__STATE_ENOUGH)
      printf("missing %s: %s\n", shards[i]->name, shards[i]->cause);
}

static void print_ledger(tether_call *call) {
  if (!explain) return;
  if (tether_call_wait_ledger(call, 1 * TETHER_SEC) == TETHER_DEADLINE_EXCEEDED)
    puts("\nthe servers have not told all that they did");
  const tether_ledger *ledger = tether_call_ledger(call);
  if (!ledger) return;
  size_t size = tether_ledger_text(ledger, 40, NULL, 0) + 1;
  char *text = malloc(size);
  if (!text) return;
  (void)tether_ledger_text(ledger, 40, text, size);
  printf("\n%s", text);
  free(text);
}

/* What is known at the end, however it came. Returns the exit code. */
static int print_end(tether_call *call, bool partial, int64_t took_ns) {
  tether_code code = tether_call_code(call);
  const tether_cause *cause = tether_call_cause(call);
  print_trace(tether_call_ctx(call));
  printf("status  %s%s, %.1f ms\n", tether_code_name(code), partial ? " (partial)" : "",
         (double)took_ns / (double)TETHER_MS);
  if (*tether_call_message(call)) printf("message %s\n", tether_call_message(call));
  if (cause)
    printf("cause   %s: %s (from %s)\n", tether_cause_code_name(tether_cause_get_code(cause)), tether_cause_text(cause),
           tether_cause_origin(cause));
  print_ledger(call);
  if (code == TETHER_OK) return 0;
  return code == TETHER_CANCELLED ? CLI_INTERRUPTED : CLI_FAILED;
}

static tether_call_options call_options(void) {
  return (tether_call_options){.timeout_ns = TETHER_FOREVER, .explain = explain}; /* the context has the deadline */
}

static int search_once(tether_client *client, const tether_ctx *ctx, const char *query) {
  Search__V1__SearchRequest ask = SEARCH__V1__SEARCH_REQUEST__INIT;
  ask.query = (char *)query;
  ask.limit = (uint32_t)limit;
  int64_t started_ns = tether_now_ns();
  const tether_call_options with = call_options();
  TETHER_SCOPED_CALL tether_call *call = search_v1_search_client_search(client, ctx, &ask, &with);
  int64_t took_ns = tether_now_ns() - started_ns;
  const Search__V1__SearchReply *reply = search_v1_search_search_reply(call);
  if (reply) {
    if (reply->n_hits) print_head();
    for (size_t i = 0; i < reply->n_hits; i++) print_hit(reply->hits[i]);
    printf("%zu of %llu matches shown\n", reply->n_hits, (unsigned long long)reply->matched);
    print_shards(reply->shards, reply->n_shards);
  }
  return print_end(call, reply && reply->partial, took_ns);
}

/* The last part is read before the end is known, so it is printed at once. */
static void print_summary(const Search__V1__SearchSummary *summary) {
  printf("%llu matches shown%s\n", (unsigned long long)summary->hits, summary->full ? "; there may be more" : "");
  print_shards(summary->shards, summary->n_shards);
}

static int search_stream(tether_client *client, tether_ctx *ctx, const char *query) {
  Search__V1__SearchStreamRequest ask = SEARCH__V1__SEARCH_STREAM_REQUEST__INIT;
  ask.query = (char *)query;
  ask.limit = (uint32_t)limit;
  int64_t started_ns = tether_now_ns();
  bool partial = false, any = false;
  const Search__V1__SearchStreamReply *part;
  const tether_call_options with = call_options();
  TETHER_SCOPED_CALL tether_call *call =
      search_v1_search_client_search_stream_start(client, ctx, &ask, &with, NULL, NULL);
  while (search_v1_search_search_stream_recv_reply(call, &part) == TETHER_OK && part) {
    if (part->part_case == SEARCH__V1__SEARCH_STREAM_REPLY__PART_HIT) {
      if (!any) print_head();
      any = true;
      print_hit(part->hit);
    } else if (part->part_case == SEARCH__V1__SEARCH_STREAM_REPLY__PART_SUMMARY) {
      print_summary(part->summary);
      partial = part->summary->partial;
    }
    if (fflush(stdout) != 0) tether_ctx_cancel(ctx); /* nobody reads on */
  }
  return print_end(call, partial, tether_now_ns() - started_ns);
}

static void check(int argc, char **argv) {
  char query[QUERY_SIZE];
  if (argc == 0) cli_usage_error("what to search for is missing");
  if (slow && svc_slow_check(slow)) cli_usage_error("--slow '%s' is %s", slow, svc_slow_check(slow));
  join_words(query, argc, argv);
}

static int run(tether_client *client, int argc, char **argv) {
  char query[QUERY_SIZE];
  join_words(query, argc, argv);
  TETHER_SCOPED tether_ctx *trace_ctx = tether_trace_start(tether_ctx_background(), true, NULL);
  TETHER_SCOPED tether_ctx *slow_ctx = tether_ctx_with_value(trace_ctx, &svc_slow_key, slow);
  tether_ctx *ctx = cli_ctx_new(slow_ctx, CLI_DEFAULT_TIMEOUT_NS);
  int status = stream ? search_stream(client, ctx, query) : search_once(client, ctx, query);
  cli_ctx_free(ctx);
  return status;
}

const cli_command cli_search = {.name = "search",
                                .synopsis = "tether-cli search [options] WORD...",
                                .what = "asks the search service",
                                .options = options,
                                .check = check,
                                .run = run};
