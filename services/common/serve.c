#include "common/serve.h"

#include <signal.h>
#include <string.h>
#include <tether/health.h>
#include <tether/reflection.h>

#include "common/log.h"
#include "common/notify.h"
#include "common/security.h"
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
  svc_security_watch_server(NULL);
  tether_server_close(server);
  tether_health_free(common->health);
  tether_reflection_free(common->reflection);
}

/* Whether a call from the outside is answered: a new connection through the listener, and the server's own threads.
 * What the calls that are served wait for does not matter: being slow is no reason to be killed. */
static bool is_alive(const char *url, int64_t bound_ns) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), bound_ns);
  tether_health_status status;
  tether_client *client;
  tether_client_options options = {.limits = {0}};
  svc_security_of_self(&options);
  tether_code code = tether_client_open(url, &options, &client);
  if (code == TETHER_OK) {
    code = tether_client_wait_ready(client, ctx);
    if (code == TETHER_OK) code = tether_health_check(client, ctx, "", &status);
    tether_client_close(client);
  }
  if (code == TETHER_PERMISSION_DENIED) code = TETHER_OK; /* the policy answers; that will do */
  if (code != TETHER_OK) svc_log_note("watchdog", "%s does not answer: %s", url, tether_code_name(code));
  return code == TETHER_OK;
}

/* Until a signal; tells the watchdog, if there is one, that all is well for as long as it is. */
static int wait_for_signal(const char *url, int signals) {
  int64_t interval_ns = svc_watchdog_interval_ns();
  for (;;) {
    if (interval_ns != TETHER_FOREVER && is_alive(url, interval_ns)) svc_notify("WATCHDOG=1");
    int signal = svc_signals_wait(signals, tether_time_add(tether_now_ns(), interval_ns));
    if (signal == SIGHUP)
      svc_security_reload();
    else if (signal)
      return signal;
  }
}

int svc_serve(tether_server *server, const char *url, int signals, int64_t grace_ns) {
  svc_log line;
  common_services common = {0};
  tether_code code = add_common(server, &common);
  svc_security_watch_server(server);
  if (code == TETHER_OK) code = tether_server_listen(server, url);
  if (code != TETHER_OK) {
    svc_log_note("error", "cannot listen on %s: %s", url, tether_code_name(code));
    close_all(server, &common);
    return 1;
  }
  svc_log_begin(&line, "ready", NULL);
  svc_log_text(&line, "url", url);
  if (tether_server_port(server)) svc_log_number(&line, "port", tether_server_port(server));
  svc_log_end(&line);
  svc_notify("READY=1");

  int signal = wait_for_signal(url, signals);
  svc_notify("STOPPING=1");
  svc_log_note("shutdown", "%s: running calls may finish", strsignal(signal));
  int64_t started_ns = tether_now_ns();
  tether_server_shutdown(server, grace_ns);
  close_all(server, &common);
  svc_log_begin(&line, "stopped", NULL);
  svc_log_duration(&line, "took", tether_now_ns() - started_ns);
  svc_log_end(&line);
  return 0;
}
