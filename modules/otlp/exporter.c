/* Sending spans. Happy path: add queues -> after the delay, or at a whole batch, the thread takes all there is, and
 * posts it batch by batch. Failures: a full queue, or no memory, drops the span; a collector that cannot be reached, or
 * is busy (408, 429, 502, 503, 504), is tried again with growing pauses until the export's time is over, and then its
 * batch is dropped, as it is at once for any other answer. The first failure in a row, and the recovery, is a line on
 * standard error. Closing cuts pauses short and bounds what is under way. */
#include "modules/otlp/exporter.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_PAUSE_NS (500 * TETHER_MS)
#define LONGEST_PAUSE_NS (5 * TETHER_SEC)

/* Real time, whatever clock is installed (tether/clock.h): a collector lives in it. */
static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * TETHER_SEC + now.tv_nsec;
}

/* ---- Queue --------------------------------------------------------------------------------- */

void tth_otlp_exporter_add(otlp_exporter *exporter, otlp_record *record) {
  size_t waiting = record ? atomic_fetch_add(&exporter->waiting, 1) + 1 : 0;
  if (!record || waiting > exporter->config->queue_most) {
    if (record) atomic_fetch_sub(&exporter->waiting, 1);
    atomic_fetch_add(&exporter->dropped, 1);
    free(record);
    return;
  }
  pthread_mutex_lock(&exporter->mu);
  *exporter->last_next = record;
  exporter->last_next = &record->next;
  pthread_mutex_unlock(&exporter->mu);
  if (waiting == exporter->config->batch_most) pthread_cond_signal(&exporter->changed);
}

/* Frees `count` records and says what became of them. */
static otlp_record *done_with(otlp_exporter *exporter, otlp_record *first, size_t count, _Atomic uint64_t *outcome) {
  for (size_t i = 0; i < count; i++) {
    otlp_record *next = first->next;
    free(first);
    first = next;
  }
  atomic_fetch_add(outcome, count);
  atomic_fetch_sub(&exporter->waiting, count);
  return first;
}

/* Waits until the time, or until closing, or (with `batch`) until a batch is there. false: closing. */
static bool wait_until(otlp_exporter *exporter, int64_t at_ns, bool batch) {
  struct timespec at = {.tv_sec = (time_t)(at_ns / TETHER_SEC), .tv_nsec = (long)(at_ns % TETHER_SEC)};
  pthread_mutex_lock(&exporter->mu);
  for (int over = 0; over == 0 && !exporter->closing;) {
    if (batch && atomic_load(&exporter->waiting) >= exporter->config->batch_most) break;
    over = pthread_cond_timedwait(&exporter->changed, &exporter->mu, &at);
  }
  bool closing = exporter->closing;
  pthread_mutex_unlock(&exporter->mu);
  return !closing;
}

static bool is_over(otlp_exporter *exporter) {
  pthread_mutex_lock(&exporter->mu);
  bool over = exporter->closing && now_ns() >= exporter->close_ns;
  pthread_mutex_unlock(&exporter->mu);
  return over;
}

/* ---- One request --------------------------------------------------------------------------- */

typedef enum outcome { TAKEN, REFUSED, AGAIN } outcome;

static size_t ignore(char *bytes, size_t size, size_t count, void *data) {
  (void)bytes, (void)data;
  return size * count;
}

static int on_progress(void *data, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
  (void)a, (void)b, (void)c, (void)d;
  return is_over(data); /* not 0: aborts the request */
}

static void close_curl(otlp_exporter *exporter) {
  curl_easy_cleanup(exporter->curl);
  curl_share_cleanup(exporter->connections);
}

static bool open_curl(otlp_exporter *exporter) {
  CURL *curl = exporter->curl = curl_easy_init();
  exporter->connections = curl_share_init();
  if (!curl || !exporter->connections ||
      curl_share_setopt(exporter->connections, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) != CURLSHE_OK) {
    close_curl(exporter);
    return false;
  }
  curl_easy_setopt(curl, CURLOPT_URL, exporter->config->url);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, exporter->config->headers);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(exporter->config->timeout_ns / TETHER_MS));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exporter);
  return true;
}

static outcome judge(CURL *curl, CURLcode error, char *why, size_t size) {
  long status = 0;
  if (error != CURLE_OK) {
    snprintf(why, size, "%s", curl_easy_strerror(error));
    return AGAIN;
  }
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  snprintf(why, size, "HTTP status %ld", status);
  if (status >= 200 && status < 300) return TAKEN;
  return status == 408 || status == 429 || (status >= 502 && status <= 504) ? AGAIN : REFUSED;
}

/* Each request has a handle of its own, and the connection from the one before: a libcurl before 8.2 that meets a
 * folded line in front of a reused handle's first header writes to what it has freed (curl issue 11101). */
static outcome post(otlp_exporter *exporter, const char *body) {
  char why[128] = "out of memory";
  CURL *curl = curl_easy_duphandle(exporter->curl);
  outcome result = AGAIN;
  if (curl) {
    curl_easy_setopt(curl, CURLOPT_SHARE, exporter->connections);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    result = judge(curl, curl_easy_perform(curl), why, sizeof why);
  }
  curl_easy_cleanup(curl);
  bool failed = result != TAKEN;
  if (failed && !exporter->failing)
    fprintf(stderr, "tether-otlp: no spans can be sent to %s: %s\n", exporter->config->url, why);
  if (!failed && exporter->failing) fprintf(stderr, "tether-otlp: spans are sent to %s again\n", exporter->config->url);
  exporter->failing = failed;
  return result;
}

/* ---- The thread ---------------------------------------------------------------------------- */

/* Sends one batch, again and again if it helps; whether it was taken. */
static bool export_batch(otlp_exporter *exporter, const otlp_record *first, size_t count) {
  char *body = exporter->curl ? tth_otlp_request(first, count, exporter->config->resource) : NULL;
  int64_t until_ns = tether_time_add(now_ns(), exporter->config->export_ns), pause_ns = FIRST_PAUSE_NS;
  outcome result = body ? AGAIN : REFUSED;
  while (result == AGAIN && !is_over(exporter)) {
    result = post(exporter, body);
    if (result != AGAIN || now_ns() + pause_ns >= until_ns || !wait_until(exporter, now_ns() + pause_ns, false)) break;
    pause_ns = pause_ns < LONGEST_PAUSE_NS / 2 ? 2 * pause_ns : LONGEST_PAUSE_NS;
  }
  free(body);
  return result == TAKEN;
}

static void export_all(otlp_exporter *exporter) {
  pthread_mutex_lock(&exporter->mu);
  otlp_record *first = exporter->first;
  exporter->first = NULL;
  exporter->last_next = &exporter->first;
  pthread_mutex_unlock(&exporter->mu);
  while (first) {
    size_t count = 0;
    for (const otlp_record *r = first; r && count < exporter->config->batch_most; r = r->next) count++;
    bool taken = export_batch(exporter, first, count);
    first = done_with(exporter, first, count, taken ? &exporter->exported : &exporter->dropped);
  }
}

static void *run(void *data) {
  otlp_exporter *exporter = data;
  while (wait_until(exporter, tether_time_add(now_ns(), exporter->config->delay_ns), true)) export_all(exporter);
  export_all(exporter);
  return NULL;
}

static bool start_thread(otlp_exporter *exporter) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = pthread_create(&exporter->thread, NULL, run, exporter) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

tether_code tth_otlp_exporter_open(otlp_exporter *exporter, const otlp_config *config) {
  pthread_condattr_t monotonic;
  exporter->config = config;
  exporter->last_next = &exporter->first;
  if (!open_curl(exporter)) return TETHER_RESOURCE_EXHAUSTED;
  pthread_mutex_init(&exporter->mu, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&exporter->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (start_thread(exporter)) return TETHER_OK;
  pthread_cond_destroy(&exporter->changed);
  pthread_mutex_destroy(&exporter->mu);
  close_curl(exporter);
  return TETHER_RESOURCE_EXHAUSTED;
}

void tth_otlp_exporter_close(otlp_exporter *exporter) {
  pthread_mutex_lock(&exporter->mu);
  exporter->close_ns = now_ns() + TETHER_OTLP_CLOSE_NS;
  exporter->closing = true;
  pthread_cond_signal(&exporter->changed);
  pthread_mutex_unlock(&exporter->mu);
  pthread_join(exporter->thread, NULL);
  pthread_cond_destroy(&exporter->changed);
  pthread_mutex_destroy(&exporter->mu);
  close_curl(exporter);
}
