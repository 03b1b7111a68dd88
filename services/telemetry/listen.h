/* telemetry/listen.h: an evhttp server's address, as the command line has it. */
#ifndef SERVICES_TELEMETRY_LISTEN_H
#define SERVICES_TELEMETRY_LISTEN_H

#include <event2/http.h>

/* Listens at HOST:PORT (port 0 picks one) and writes "http://HOST:PORT" to url. NULL: logged why not, naming `option`.
 */
struct evhttp_bound_socket *svc_http_listen(struct evhttp *http, const char *option, const char *at, char url[128]);

#endif
