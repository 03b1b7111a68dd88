/* telemetry/scrape.h: metrics over HTTP: GET /metrics, for Prometheus. */
#ifndef SERVICES_TELEMETRY_SCRAPE_H
#define SERVICES_TELEMETRY_SCRAPE_H

#include <event2/http.h>
#include <tether/metrics.h>

typedef struct svc_scrape svc_scrape;

/* Serves at HOST:PORT (port 0 picks one) on a thread of its own, and logs event=metrics with the URL. false: logged why
 * not. `metrics` must outlive it. */
bool svc_scrape_open(const char *at, const tether_metrics *metrics, svc_scrape **scrape);

/* Stops and releases; takes NULL. */
void svc_scrape_close(svc_scrape *scrape);

/* Has `http` serve /metrics to scrapers, within the limits that are meant for them. */
void svc_scrape_serve(struct evhttp *http, const tether_metrics *metrics);

/* Answers a request with the metrics, for who serves HTTP anyway. */
void svc_scrape_reply(struct evhttp_request *http, const tether_metrics *metrics);

#endif
