#include "common/serve.h"

#include <string.h>

#include "common/log.h"
#include "common/signals.h"

int svc_serve(tether_server *server, const char *url, int signals, int64_t grace_ns) {
  svc_log line;
  tether_code code = tether_server_listen(server, url);
  if (code != TETHER_OK) {
    svc_log_note("error", "cannot listen on %s: %s", url, tether_code_name(code));
    tether_server_close(server);
    return 1;
  }
  svc_log_begin(&line, "ready", NULL);
  svc_log_text(&line, "url", url);
  svc_log_end(&line);

  int signal = svc_signals_wait(signals);
  svc_log_note("shutdown", "%s: running calls may finish", strsignal(signal));
  int64_t started_ns = tether_now_ns();
  tether_server_shutdown(server, grace_ns);
  tether_server_close(server);
  svc_log_begin(&line, "stopped", NULL);
  svc_log_duration(&line, "took", tether_now_ns() - started_ns);
  svc_log_end(&line);
  return 0;
}
