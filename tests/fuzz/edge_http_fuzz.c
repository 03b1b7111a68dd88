/* The edge's HTTP front, whole: bytes of a client on a socket, evhttp, the edge, and a search service in the same
 * process. Input: how the service answers, where the client's bytes are cut in two, what becomes of the client
 * meanwhile; the rest are those bytes. Each answer is HTTP whose body is what its header says, and nothing is left
 * afterwards. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/listener.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tether/clock.h>
#include <unistd.h>

#include "edge/edge.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "search/v1/search.tether.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/link_mem.h"

#define ANSWER_MOST ((size_t)1024 * 1024)
#define ROUNDS_MOST 1000
#define LATER_MOST 16
#define LONG_MOST 6

/* The service's manner. LONG_HITS: if the client does not read, hits are long, more than what is between it and the
 * edge holds. It takes most of the time of an input that has it. */
enum { FAILS = 1, CODE = 15 << 1, CUTS_SUMMARY = 32, LONG_HITS = 64 | 128 };

/* What becomes of the client. */
enum {
  HITS = 7,           /* how many there are, if it asks for a stream */
  LATER = 16,         /* the service answers only when what follows has happened */
  TIME_OUT = 32,      /* time passes */
  HANGS_UP = 64,      /* the client says that it says no more */
  IS_GONE = 128,      /* the client closes the connection */
  IS_SLOW = 64 | 128, /* both: neither, but it does not read */
};

static tst_mem_net *net;
static edge front = {.default_timeout_ns = TETHER_SEC,
                     .max_timeout_ns = 30 * TETHER_SEC,
                     .grace_ns = TETHER_SEC,
                     .idle_ns = 60 * TETHER_SEC};
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_len = sizeof address;
static int64_t clock_ns = 1000 * TETHER_SEC;
static uint8_t manner, fate;

static int64_t now(void *data) {
  (void)data;
  return clock_ns;
}

/* ---- The search service -------------------------------------------------------------------- */

/* A call that is being answered. */
typedef struct answering {
  tether_call *call; /* NULL: none */
  int hits;          /* of a stream: still to be sent; -1: not a stream */
  bool waits;        /* to be started */
} answering;
static answering answers[LATER_MOST];
static char long_text[50000];
static int long_hits; /* so many have been sent: what an input gets fits into ANSWER_MOST */

static tether_code finish(tether_call *call) {
  return manner & FAILS ? tether_call_fail(call, (tether_code)((manner & CODE) >> 1), "%s", "on purpose") : TETHER_OK;
}

/* Sends what there is room for, and ends the call after the last. */
static void go_on(answering *a) {
  Search__V1__Hit hit = SEARCH__V1__HIT__INIT;
  Search__V1__SearchSummary summary = SEARCH__V1__SEARCH_SUMMARY__INIT;
  bool done = true;
  tether_code code = TETHER_OK;
  while (!a->waits && a->hits >= 0 && code == TETHER_OK) {
    Search__V1__SearchStreamReply part = SEARCH__V1__SEARCH_STREAM_REPLY__INIT;
    part.part_case =
        a->hits ? SEARCH__V1__SEARCH_STREAM_REPLY__PART_HIT : SEARCH__V1__SEARCH_STREAM_REPLY__PART_SUMMARY;
    bool is_long = a->hits && (manner & LONG_HITS) == LONG_HITS && (fate & IS_SLOW) == IS_SLOW && long_hits < LONG_MOST;
    hit.summary = is_long ? long_text : (char *)"short";
    if (a->hits)
      part.hit = &hit;
    else
      part.summary = &summary;
    if (a->hits == 0 && (manner & (FAILS | CUTS_SUMMARY))) break;
    code = tether_call_try_send(a->call, &part.base, &done);
    if (code == TETHER_OK && !done) return;
    long_hits += is_long;
    a->hits--;
  }
  if (a->waits) return;
  tether_call *call = a->call;
  a->call = NULL;
  tether_call_finish(call, code == TETHER_OK ? finish(call) : code);
}

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  (void)what, (void)data;
  for (size_t i = 0; i < LATER_MOST; i++)
    if (answers[i].call == call) go_on(&answers[i]);
}

static tether_code answer(tether_call *call, int hits) {
  for (size_t i = 0; i < LATER_MOST; i++) {
    if (answers[i].call) continue;
    answers[i] = (answering){.call = call, .hits = hits, .waits = fate & LATER};
    tether_call_defer(call);
    tether_call_on_ready(call, on_ready, NULL);
    go_on(&answers[i]);
    return TETHER_OK;
  }
  return TETHER_RESOURCE_EXHAUSTED;
}

static tether_code search(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *message,
                          ProtobufCMessage *reply, const void *service, void *data) {
  static Search__V1__Hit hit = SEARCH__V1__HIT__INIT, *hits[] = {&hit, &hit};
  static Search__V1__ShardStatus shard = SEARCH__V1__SHARD_STATUS__INIT, *shards[] = {&shard};
  const Search__V1__SearchRequest *request = (const Search__V1__SearchRequest *)message;
  Search__V1__SearchReply *found = (Search__V1__SearchReply *)reply;
  (void)ctx, (void)service, (void)data;
  FUZZ_CHECK(*request->query && request->limit >= 1 && request->limit <= 100);
  found->hits = hits;
  found->n_hits = 2;
  found->shards = shards;
  found->n_shards = 1;
  return answer(call, -1);
}

static tether_code search_stream(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *message,
                                 ProtobufCMessage *reply, const void *service, void *data) {
  const Search__V1__SearchStreamRequest *request = (const Search__V1__SearchStreamRequest *)message;
  (void)ctx, (void)reply, (void)service, (void)data;
  FUZZ_CHECK(*request->query && request->limit <= 1000000);
  return answer(call, fate & HITS);
}

static tether_code health(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *message,
                          ProtobufCMessage *reply, const void *service, void *data) {
  (void)ctx, (void)message, (void)reply, (void)service, (void)data;
  return answer(call, -1);
}

/* The service's methods, inline. */
static void serve(void) {
  static const tether_method methods[] = {
      {.path = "/search.v1.Search/Search",
       .request = &search__v1__search_request__descriptor,
       .reply = &search__v1__search_reply__descriptor,
       .flags = TETHER_METHOD_INLINE},
      {.path = "/search.v1.Search/SearchStream",
       .request = &search__v1__search_stream_request__descriptor,
       .reply = &search__v1__search_stream_reply__descriptor,
       .flags = TETHER_METHOD_INLINE | TETHER_METHOD_SERVER_STREAMING},
      {.path = "/search.v1.Search/Health",
       .request = &search__v1__health_request__descriptor,
       .reply = &search__v1__health_reply__descriptor,
       .flags = TETHER_METHOD_INLINE},
  };
  static const tether_served_method served[] = {
      {&methods[0], search}, {&methods[1], search_stream}, {&methods[2], health}};
  tether_server *server;
  const tether_server_options options = {.max_workers = 1};
  FUZZ_CHECK(tth_server_open_on(&tst_transport_mem, &options, &server) == TETHER_OK);
  FUZZ_CHECK(tether_server_add(server, served, 3, NULL, NULL) == TETHER_OK);
  FUZZ_CHECK(tether_server_listen(server, "mem://search") == TETHER_OK);
}

/* ---- The edge ------------------------------------------------------------------------------ */

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  const tether_clock clock = {.now_ns = now};
  (void)argc, (void)argv;
  signal(SIGPIPE, SIG_IGN); /* as the edge's main does */
  FUZZ_CHECK(tether_clock_set(&clock) == TETHER_OK);
  net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  serve();
  memset(long_text, 'x', sizeof long_text - 1);
  FUZZ_CHECK(svc_telemetry_open(&front.telemetry, "edge", &(svc_telemetry_options){0}));
  FUZZ_CHECK(tth_client_open_on(&tst_transport_mem, "mem://search", NULL, &front.search) == TETHER_OK);
  tst_link_mem_pump(net);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  /* An address of the kernel's choice, in no folder. */
  FUZZ_CHECK(bind(fd, (struct sockaddr *)&address, sizeof address.sun_family) == 0);
  FUZZ_CHECK(getsockname(fd, (struct sockaddr *)&address, &address_len) == 0);
  front.base = event_base_new();
  front.scratch = evbuffer_new();
  front.http = evhttp_new(front.base);
  evhttp_set_max_headers_size(front.http, 16 * 1024);
  evhttp_set_max_body_size(front.http, 64 * 1024);
  evhttp_set_gencb(front.http, edge_on_http, &front);
  FUZZ_CHECK(edge_mailbox_init(&front.mailbox, front.base));
  FUZZ_CHECK(edge_hangup_init(&front.hangup, front.base, edge_on_hangup));
  struct evconnlistener *listener = evconnlistener_new(front.base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 16, fd);
  FUZZ_CHECK(listener && evhttp_bind_listener(front.http, listener));
  return 0;
}

/* ---- The client ---------------------------------------------------------------------------- */

struct client {
  int fd; /* -1: closed */
  bool reads;
  bool ended;   /* the edge has closed the connection */
  size_t heard; /* bytes in `said` */
};
static char said[ANSWER_MOST + 1];

static bool read_some(struct client *client) {
  if (client->fd < 0 || !client->reads || client->ended) return false;
  ssize_t n = recv(client->fd, said + client->heard, ANSWER_MOST - client->heard, MSG_DONTWAIT);
  if (n > 0) client->heard += (size_t)n;
  client->ended = n == 0 || (n < 0 && errno != EAGAIN);
  return n > 0;
}

/* Runs everything until nothing moves. */
static void run(struct client *client) {
  int quiet = 0;
  for (int round = 0; quiet < 3; round++) {
    FUZZ_CHECK(round < ROUNDS_MOST);
    event_base_loop(front.base, EVLOOP_NONBLOCK);
    size_t moved = tst_link_mem_pump(net);
    quiet = read_some(client) || moved > 0 ? 0 : quiet + 1;
  }
}

static void say(struct client *client, const uint8_t *bytes, size_t len) {
  if (len == 0) return;
  if (send(client->fd, bytes, len, MSG_NOSIGNAL) < 0) client->ended = true;
  run(client);
}

/* What happens before a service that is slow has answered. */
static void meet_fate(struct client *client) {
  if (!(fate & (LATER | TIME_OUT | IS_SLOW))) return;
  if (fate & TIME_OUT) {
    clock_ns += 10 * TETHER_SEC;
    while (tether_clock_run_due() <= clock_ns) continue;
  }
  if ((fate & IS_SLOW) == HANGS_UP) shutdown(client->fd, SHUT_WR);
  if ((fate & IS_SLOW) == IS_GONE) {
    close(client->fd);
    client->fd = -1;
  }
  run(client);
  fate &= (uint8_t)~LATER; /* from here on it answers at once */
  for (size_t i = 0; i < LATER_MOST; i++) {
    if (!answers[i].call) continue;
    answers[i].waits = false;
    go_on(&answers[i]);
  }
  run(client);
  client->reads = true;
  run(client);
}

/* ---- The answers --------------------------------------------------------------------------- */

/* The value of a header; NULL: there is none before `end`. */
static const char *header(const char *at, const char *end, const char *name) {
  const char *found = strcasestr(at, name);
  return found && found < end ? found + strlen(name) : NULL;
}

static void check_json(int status, const char *body, size_t len) {
  /* The last that was long: parsing it again and again takes most of the time. */
  static char known[sizeof long_text + 1000];
  static size_t known_len;
  if (len == known_len && memcmp(body, known, len) == 0) return;
  /* What is written when a reply cannot be made; here there is memory. */
  static const char none[] = "{\"error\":{\"code\":\"RESOURCE_EXHAUSTED\"}}";
  json_error_t error;
  json_t *value = json_loadb(body, len, JSON_REJECT_DUPLICATES, &error);
  if (!value || !json_is_object(value)) fuzz_fail("not JSON: %.*s", (int)len, body);
  if (status != 503 && len >= sizeof none - 1 && memcmp(body, none, sizeof none - 1) == 0)
    fuzz_fail("no words for a status of %d", status);
  json_decref(value);
  if (len <= sizeof long_text || len > sizeof known) return;
  known_len = len;
  memcpy(known, body, len);
}

/* Each line of a stream is JSON, or an event with such. */
static void check_lines(char *body, size_t len) {
  body[len] = 0;
  for (char *rest = NULL, *line = strtok_r(body, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    if (strncmp(line, "event: ", 7) == 0) continue;
    if (strncmp(line, "data: ", 6) == 0) line += 6;
    check_json(200, line, strlen(line));
  }
}

/* Puts the chunks at `at` together, in place. Returns what follows them; NULL: they do not end. */
static char *join_chunks(char *at, size_t *len) {
  char *to = at, *from = at;
  for (;;) {
    char *end;
    unsigned long size = strtoul(from, &end, 16);
    FUZZ_CHECK(end != from || !*from);
    if (!*from || strncmp(end, "\r\n", 2) != 0 || size > strlen(end + 2)) return NULL;
    memmove(to, end + 2, size);
    to += size;
    from = end + 2 + size;
    if (strncmp(from, "\r\n", 2) != 0) return NULL;
    from += 2;
    if (size > 0) continue;
    *len = (size_t)(to - at);
    return from;
  }
}

/* One answer; returns what follows it, NULL if it is not whole. */
static char *check_answer(char *at) {
  int status = 0;
  char *end = strstr(at, "\r\n\r\n");
  if (strncmp(at, "HTTP/", strnlen(at, 5)) != 0) fuzz_fail("not an answer: %.80s", at);
  if (!end) return NULL;
  /* The version is the client's. */
  if (sscanf(at, "HTTP/%*[0-9.-] %3d ", &status) != 1) fuzz_fail("not an answer: %.80s", at);
  FUZZ_CHECK(status == 100 || status == 200 || (status >= 400 && status <= 599));
  char *body = end + 4, *after = NULL;
  const char *length = header(at, end, "\r\nContent-Length: "), *type = header(at, end, "\r\nContent-Type: ");
  size_t len = length ? strtoul(length, NULL, 10) : 0;
  if (status == 100) return body;
  if (header(at, end, "\r\nTransfer-Encoding: chunked")) {
    after = join_chunks(body, &len);
    if (after) {
      char *rest = strdup(after);
      check_lines(body, len);
      after = strcpy(body, rest); /* the chunks are not needed any more */
      free(rest);
    }
    return after;
  }
  if (!length || strlen(body) < len) return NULL;
  if (type && strncmp(type, "application/json", 16) == 0) check_json(status, body, len);
  return body + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  fuzz_input in = {input, size};
  manner = fuzz_byte(&in);
  size_t first = (size_t)fuzz_byte(&in) * 4;
  fate = fuzz_byte(&in);
  long_hits = 0;
  struct client client = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .reads = (fate & IS_SLOW) != IS_SLOW};
  if (first == 0 || first > in.left) first = in.left;
  FUZZ_CHECK(client.fd >= 0 && connect(client.fd, (struct sockaddr *)&address, address_len) == 0);
  say(&client, in.at, first);
  say(&client, in.at + first, in.left - first);
  meet_fate(&client);
  FUZZ_CHECK(client.heard < ANSWER_MOST);
  said[client.heard] = 0;
  if (strlen(said) == client.heard)
    for (char *at = said; at && *at;) at = check_answer(at);
  if (client.fd >= 0) close(client.fd);
  client.fd = -1;
  run(&client);
  for (size_t i = 0; i < LATER_MOST; i++) FUZZ_CHECK(!answers[i].call);
  FUZZ_CHECK(!front.requests && front.replying == 0);
  return 0;
}
