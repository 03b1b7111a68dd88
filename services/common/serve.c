#include "common/serve.h"

#include <string.h>
#include <tether/health.h>
#include <tether/reflection.h>

#include "common/log.h"
#include "common/signals.h"

/* What every service serves besides its own: both released after the server. */
typedef struct common_services {
  tether_health *health;
  tether_reflection *reflection;
} common_services;

static tether_code add_common(tether_server *server, common_services *common) {
  tether_code code = tether_health_new(server, &common->health);
  return code == TETHER_OK ? tether_reflection_new(server, &common->reflection) : code;
}

static void close_all(tether_server *server, common_services *common) {
  tether_server_close(server);
  tether_health_free(common->health);
  tether_reflection_free(common->reflection);
}

int svc_serve(tether_server *server, const char *url, int signals, int64_t grace_ns) {
  svc_log line;
  common_services common = {0};
  tether_code code = add_common(server, &common);
  if (code == TETHER_OK) code = tether_server_listen(server, url);
  if (code != TETHER_OK) {
    svc_log_note("error", "cannot listen on %s: %s", url, tether_code_name(code));
    close_all(server, &common);
    return 1;
  }
  svc_log_begin(&line, "ready", NULL);
  svc_log_text(&line, "url", url);
  svc_log_end(&line);

  int signal = svc_signals_wait(signals);
  svc_log_note("shutdown", "%s: running calls may finish", strsignal(signal));
  int64_t started_ns = tether_now_ns();
  tether_server_shutdown(server, grace_ns);
  close_all(server, &common);
  svc_log_begin(&line, "stopped", NULL);
  svc_log_duration(&line, "took", tether_now_ns() - started_ns);
  svc_log_end(&line);
  return 0;
}
