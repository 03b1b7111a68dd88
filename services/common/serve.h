/* common/serve.h: the life of a tether server process: listen, announce, wait for SIGTERM, drain, end. SIGHUP
 * has certificates, policy and token read again (common/security.h). Each serves its
 * health and reflection beside what it is for. */
#ifndef SERVICES_COMMON_SERVE_H
#define SERVICES_COMMON_SERVE_H

#include <tether/rpc.h>

/* Listens on `url`, logs event=ready (with the TCP port, if there is one), waits for SIGTERM or SIGINT on `signals`
 * (svc_signals_open), then gives running calls `grace_ns` to finish and closes the server. Returns the process's exit
 * code. */
int svc_serve(tether_server *server, const char *url, int signals, int64_t grace_ns);

#endif
