/* tether-edge: HTTP in front of the search service.
 *
 *   tether-edge --listen 127.0.0.1:8080 --search ipc:///run/search/search.sock */
#include <event2/buffer.h>
#include <signal.h>
#include <string.h>

#include "common/log.h"
#include "common/notify.h"
#include "common/options.h"
#include "common/peers.h"
#include "common/security.h"
#include "common/signals.h"
#include "edge/edge.h"
#include "telemetry/listen.h"

static const char *listen_at = "127.0.0.1:8080";
static const char *search_url;
static svc_telemetry_options telemetry_options;
static edge front = {.default_timeout_ns = TETHER_SEC,
                     .max_timeout_ns = 30 * TETHER_SEC,
                     .grace_ns = 2 * TETHER_SEC,
                     .idle_ns = 60 * TETHER_SEC};

static const svc_option options[] = {
    {"listen", "HOST:PORT", "where to serve HTTP; default 127.0.0.1:8080; port 0 picks one", SVC_TEXT, &listen_at},
    {"search", "URL", "the search service (required)", SVC_TEXT, &search_url},
    {"timeout", "DURATION", "budget of a request that names none; default 1s", SVC_DURATION, &front.default_timeout_ns},
    {"max-timeout", "DURATION", "largest budget a request may name; default 30s", SVC_DURATION, &front.max_timeout_ns},
    {"grace", "DURATION", "how long requests may take at shutdown; default 2s", SVC_DURATION, &front.grace_ns},
    {"idle", "DURATION", "how long a connection may be silent, or take nothing of a reply; default 60s", SVC_DURATION,
     &front.idle_ns},
    SVC_OPTION_LOG_CALLS(telemetry_options),
    SVC_OPTIONS_TLS,
    SVC_OPTION_TOKEN,
    {0},
};

enum { MAX_HEADER_BYTES = 16 * 1024, MAX_BODY_BYTES = 64 * 1024, LAST_SECONDS = 1 };

static struct evhttp_bound_socket *bound;

static void on_grace_over(evutil_socket_t fd, short what, void *data) {
  (void)fd, (void)what;
  svc_log_note("shutdown", "cancelling the requests that are left");
  edge_cancel_all(data);
  event_base_loopexit(((edge *)data)->base,
                      &(struct timeval){.tv_sec = LAST_SECONDS}); /* for clients that do not read */
}

/* Stops accepting; the loop ends when the last request is answered. */
static void on_signal(evutil_socket_t fd, short what, void *data) {
  edge *e = data;
  (void)what;
  int number = svc_signals_wait(fd, TETHER_FOREVER);
  if (number == SIGHUP) {
    svc_security_reload();
    return;
  }
  svc_log_note("shutdown", "%s: running requests may finish", strsignal(number));
  if (e->draining) {
    edge_cancel_all(e); /* the second signal: no more patience */
    return;
  }
  svc_notify("STOPPING=1");
  e->draining = true;
  evhttp_del_accept_socket(e->http, bound);
  const struct timeval grace = edge_timeval(e->grace_ns);
  event_base_once(e->base, -1, EV_TIMEOUT, on_grace_over, e, &grace);
  edge_end_if_idle(e);
}

/* The loop that does everything goes round: that is what the watchdog is told. */
static void on_watchdog(evutil_socket_t fd, short what, void *data) {
  (void)fd, (void)what, (void)data;
  svc_notify("WATCHDOG=1");
}

static bool listen_http(edge *e) {
  char url[128];
  svc_log line;
  bound = svc_http_listen(e->http, "listen", listen_at, url);
  if (!bound) return false;
  svc_log_begin(&line, "ready", NULL);
  svc_log_text(&line, "url", url);
  svc_log_end(&line);
  return true;
}

static bool start(edge *e) {
  if (!svc_telemetry_open(&e->telemetry, "edge", &telemetry_options)) return false;
  tether_client_options client_options = svc_client_options(e->telemetry.interceptors);
  svc_security_of_client(&client_options);
  if (tether_client_open(search_url, &client_options, &e->search) != TETHER_OK) return false;
  svc_security_watch_client(e->search);
  e->base = event_base_new();
  e->scratch = evbuffer_new();
  if (!e->base || !e->scratch || !(e->http = evhttp_new(e->base))) return false;
  evhttp_set_max_headers_size(e->http, MAX_HEADER_BYTES);
  evhttp_set_max_body_size(e->http, MAX_BODY_BYTES);
  const struct timeval idle = edge_timeval(e->idle_ns);
  evhttp_set_timeout_tv(e->http, &idle);
  evhttp_set_gencb(e->http, edge_on_http, e);
  return edge_mailbox_init(&e->mailbox, e->base) && edge_hangup_init(&e->hangup, e->base, edge_on_hangup) &&
         listen_http(e);
}

static void stop(edge *e) {
  tether_client_close(e->search); /* first: its callbacks use the mailbox */
  if (e->http) evhttp_free(e->http);
  edge_hangup_fini(&e->hangup);
  edge_mailbox_fini(&e->mailbox);
  evbuffer_free(e->scratch);
  event_base_free(e->base);
  svc_telemetry_close(&e->telemetry);
  svc_security_close();
}

int main(int argc, char **argv) {
  int rest = svc_options_parse(options, "tether-edge --search URL [options]", argc, argv);
  if (rest < argc) svc_usage_error(argv, "unexpected argument '%s'", argv[rest]);
  if (!search_url) svc_usage_error(argv, "--search URL is required");

  int signals = svc_signals_open();
  svc_log_open("edge");
  if (!svc_security_open() || !start(&front)) return 1;
  struct event *on_term = event_new(front.base, signals, EV_READ | EV_PERSIST, on_signal, &front);
  if (!on_term || event_add(on_term, NULL) != 0) return 1;
  struct event *watchdog = event_new(front.base, -1, EV_PERSIST, on_watchdog, NULL);
  int64_t interval_ns = svc_watchdog_interval_ns();
  const struct timeval interval = edge_timeval(interval_ns);
  if (!watchdog || (interval_ns != TETHER_FOREVER && event_add(watchdog, &interval) != 0)) return 1;
  svc_notify("READY=1");
  event_base_dispatch(front.base);
  event_free(watchdog);
  event_free(on_term);
  stop(&front);
  svc_log_note("stopped", "all requests are answered");
  return 0;
}
