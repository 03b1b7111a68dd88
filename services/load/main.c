/* tether-load: turns the catalogue of Debian packages into the databases that tether-shard serves.
 *
 *   tether-load --to DIR --shards 4                     this machine's catalogue
 *   tether-load --to DIR --shards 4 --from Packages     a file; "-" is standard input
 *
 * Without --from it takes `apt-cache dumpavail`; if that knows no package, /var/lib/dpkg/status; if that is missing
 * too, the sample that comes with the sources. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/options.h"
#include "index/writer.h"
#include "load/catalogue.h"

static const char *to;
static const char *from;
static const char *sample = SERVICES_SAMPLE;
static int shards = 4;

static const svc_option options[] = {
    {"to", "DIR", "where to put shard-0.db, shard-1.db, ... (required)", SVC_TEXT, &to},
    {"shards", "N", "how many databases; default 4, at most 64", SVC_COUNT, &shards},
    {"from", "FILE", "catalogue to read instead of this machine's; - is standard input", SVC_TEXT, &from},
    {"sample", "FILE", "what to read if this machine has no catalogue", SVC_TEXT, &sample},
    {0},
};

typedef struct source {
  FILE *file;
  const char *name;
  bool pipe;
} source;

static bool open_source(const char *path, source *s) {
  *s = (source){.name = path};
  if (strcmp(path, "-") == 0) {
    s->name = "standard input";
    s->file = stdin;
  } else {
    s->file = fopen(path, "re");
  }
  return s->file != NULL;
}

/* apt-cache prints nothing, and succeeds, on a machine whose package lists were never fetched. */
static bool open_apt(source *s) {
  *s = (source){.name = "apt-cache dumpavail", .pipe = true};
  s->file = popen("apt-cache dumpavail 2>/dev/null", "re");
  if (!s->file) return false;
  int first = getc(s->file);
  if (first == EOF) {
    pclose(s->file);
    return false;
  }
  ungetc(first, s->file);
  return true;
}

static source find_source(void) {
  source s;
  if (from) {
    if (open_source(from, &s)) return s;
    fprintf(stderr, "tether-load: cannot open %s: %s\n", from, strerror(errno));
    exit(1);
  }
  if (open_apt(&s) || open_source("/var/lib/dpkg/status", &s)) return s;
  if (open_source(sample, &s)) return s;
  fprintf(stderr,
          "tether-load: no catalogue: apt-cache knows no packages, there is no /var/lib/dpkg/status, and %s cannot be "
          "opened: %s\nGive one with --from FILE.\n",
          sample, strerror(errno));
  exit(1);
}

/* A source that breaks off in the middle must not become a smaller catalogue. */
static tether_code close_source(source *s, bool read_to_end) {
  if (!s->pipe) {
    if (s->file != stdin) fclose(s->file);
    return TETHER_OK;
  }
  int status = pclose(s->file);
  if (status == 0 || !read_to_end) return TETHER_OK;
  fprintf(stderr, "tether-load: '%s' failed (%s %d); run it by hand to see why.\n", s->name,
          WIFEXITED(status) ? "exit code" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
  return TETHER_UNAVAILABLE;
}

static void show_progress(long packages, int64_t started_ns) {
  if (packages % 10000 != 0) return;
  fprintf(stderr, "  %ld packages, %.1f s\n", packages, (double)(tether_now_ns() - started_ns) / (double)TETHER_SEC);
}

static tether_code load(catalogue *c, index_writer *writer, int64_t started_ns, long *packages) {
  for (;;) {
    catalogue_package p;
    tether_code code = catalogue_next(c, &p);
    if (code == TETHER_OUT_OF_RANGE) return TETHER_OK;
    if (code != TETHER_OK) {
      fprintf(stderr, "tether-load: %s\n", catalogue_error(c));
      return code;
    }
    code = index_writer_add(writer, p.name, p.version, p.section, p.summary);
    if (code != TETHER_OK) return code;
    show_progress(++*packages, started_ns);
  }
}

static void report(const index_writer *writer, long packages, int64_t started_ns) {
  double seconds = (double)(tether_now_ns() - started_ns) / (double)TETHER_SEC;
  printf("loaded %ld packages into %d databases in %s in %.2f s (", packages, shards, to, seconds);
  for (int i = 0; i < shards; i++) printf("%s%" PRId64, i ? ", " : "", index_writer_documents(writer, i));
  printf(")\n");
}

static tether_code run(source *s, catalogue *c, index_writer *writer, int64_t started_ns) {
  long packages = 0;
  tether_code code = load(c, writer, started_ns, &packages);
  tether_code closed = close_source(s, code == TETHER_OK);
  if (code != TETHER_OK || closed != TETHER_OK) return code != TETHER_OK ? code : closed;
  if (packages == 0) {
    fprintf(stderr, "tether-load: %s: no packages in it; nothing was replaced.\n", s->name);
    return TETHER_INVALID_ARGUMENT;
  }
  fprintf(stderr, "  counting terms\n");
  code = index_writer_commit(writer);
  if (code == TETHER_OK) report(writer, packages, started_ns);
  return code;
}

int main(int argc, char **argv) {
  int rest = svc_options_parse(options, "tether-load --to DIR [options]", argc, argv);
  if (rest < argc) svc_usage_error(argv, "unexpected argument '%s'", argv[rest]);
  if (!to) svc_usage_error(argv, "--to DIR is missing");
  if (shards > INDEX_MAX_SHARDS) svc_usage_error(argv, "--shards: at most %d", INDEX_MAX_SHARDS);

  int64_t started_ns = tether_now_ns();
  source s = find_source();
  fprintf(stderr, "reading %s\n", s.name);
  index_writer *writer = NULL;
  catalogue *c = catalogue_open(s.file, s.name);
  tether_code code = c ? index_writer_open(to, shards, &writer) : TETHER_RESOURCE_EXHAUSTED;
  if (code == TETHER_OK) code = run(&s, c, writer, started_ns);
  if (code != TETHER_OK) fprintf(stderr, "tether-load: failed; the databases in %s are as they were.\n", to);
  index_writer_close(writer);
  catalogue_close(c);
  return code == TETHER_OK ? 0 : 1;
}
