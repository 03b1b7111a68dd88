/* A thread with an event loop that serves one path. It ends when its eventfd is written to. A request may be as large
 * as a scraper's is, and a connection may be silent for some seconds. */
#include "telemetry/scrape.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/log.h"
#include "telemetry/listen.h"

enum { MAX_HEADER_BYTES = 16 * 1024, IDLE_SECONDS = 30 };

struct svc_scrape {
  const tether_metrics *metrics;
  struct event_base *base;
  struct evhttp *http;
  struct event *on_stop;
  int stop_fd;
  pthread_t thread;
  bool running;
};

/* ---- Requests ------------------------------------------------------------------------------- */

static void append(void *data, const char *text, size_t len) { evbuffer_add(data, text, len); }

void svc_scrape_reply(struct evhttp_request *http, const tether_metrics *metrics) {
  struct evkeyvalq *headers = evhttp_request_get_output_headers(http);
  evhttp_add_header(headers, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  tether_metrics_write(metrics, append, evhttp_request_get_output_buffer(http));
  evhttp_send_reply(http, 200, NULL, NULL);
}

static void on_metrics(struct evhttp_request *http, void *data) {
  if (evhttp_request_get_command(http) == EVHTTP_REQ_GET)
    svc_scrape_reply(http, data);
  else
    evhttp_send_error(http, 405, NULL);
}

void svc_scrape_serve(struct evhttp *http, const tether_metrics *metrics) {
  evhttp_set_max_headers_size(http, MAX_HEADER_BYTES);
  evhttp_set_max_body_size(http, 0);
  evhttp_set_timeout(http, IDLE_SECONDS);
  evhttp_set_cb(http, "/metrics", on_metrics, (void *)metrics);
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void on_stop(evutil_socket_t fd, short what, void *data) {
  (void)fd, (void)what;
  event_base_loopbreak(data);
}

static void *run(void *data) {
  event_base_dispatch(((svc_scrape *)data)->base);
  return NULL;
}

static bool start(svc_scrape *scrape, const char *at) {
  scrape->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  scrape->base = event_base_new();
  scrape->http = scrape->base ? evhttp_new(scrape->base) : NULL;
  scrape->on_stop = scrape->http ? event_new(scrape->base, scrape->stop_fd, EV_READ, on_stop, scrape->base) : NULL;
  if (scrape->stop_fd < 0 || !scrape->on_stop || event_add(scrape->on_stop, NULL) != 0) {
    svc_log_note("error", "cannot serve metrics: out of memory or descriptors");
    return false;
  }
  svc_scrape_serve(scrape->http, scrape->metrics);
  char url[128];
  if (!svc_http_listen(scrape->http, "metrics", at, url)) return false;
  svc_log_note("metrics", "%s/metrics", url);
  scrape->running = pthread_create(&scrape->thread, NULL, run, scrape) == 0;
  if (!scrape->running) svc_log_note("error", "cannot serve metrics: no thread");
  return scrape->running;
}

bool svc_scrape_open(const char *at, const tether_metrics *metrics, svc_scrape **result) {
  svc_scrape *scrape = calloc(1, sizeof *scrape);
  if (!scrape) return false;
  scrape->metrics = metrics;
  if (start(scrape, at)) {
    *result = scrape;
    return true;
  }
  svc_scrape_close(scrape);
  return false;
}

void svc_scrape_close(svc_scrape *scrape) {
  if (!scrape) return;
  if (scrape->running) {
    /* Writing to an eventfd that nobody has written to does not fail. */
    if (write(scrape->stop_fd, &(uint64_t){1}, sizeof(uint64_t)) < 0) abort();
    pthread_join(scrape->thread, NULL);
  }
  if (scrape->on_stop) event_free(scrape->on_stop);
  if (scrape->http) evhttp_free(scrape->http);
  if (scrape->base) event_base_free(scrape->base);
  if (scrape->stop_fd >= 0) close(scrape->stop_fd);
  free(scrape);
}
