/* tether/health.h: libtether-health, the health service of gRPC (grpc.health.v1) on a tether server.
 *
 *   tether_health *health;
 *   if (tether_health_new(server, &health) != TETHER_OK) ...       before the first listen
 *   ...
 *   (void)tether_health_set(health, "search.v1.Shard", TETHER_HEALTH_NOT_SERVING);
 *   ...
 *   tether_server_close(server);
 *   tether_health_free(health);                                    after the server
 *
 * The status of a service is the one set for it; else, if the server serves it, that of the server, whose name is ""
 * and which begins as SERVING; else there is none. When the server begins to shut down every status becomes
 * NOT_SERVING, while the listeners are still there; watchers are told, and then their calls end UNAVAILABLE, so that
 * they do not hold up the shutdown.
 *
 * Both methods are answered on the I/O thread: a server whose workers are all busy is still found healthy. */
#ifndef TETHER_HEALTH_H
#define TETHER_HEALTH_H

#include <tether/rpc.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_health tether_health;

typedef enum tether_health_status {
  TETHER_HEALTH_UNKNOWN = 0,
  TETHER_HEALTH_SERVING = 1,
  TETHER_HEALTH_NOT_SERVING = 2,
  TETHER_HEALTH_SERVICE_UNKNOWN = 3, /* no such service (yet); only a watch says so */
} tether_health_status;

/* The status as gRPC spells it ("NOT_SERVING"); "UNKNOWN" for a number outside the enum. Static storage. */
TETHER_API const char *tether_health_status_name(tether_health_status status);

/* ---- Server -------------------------------------------------------------------------------- */

/* Adds the service to `server`, before its first listen. The object must be freed after the server is closed.
 * Errors as tether_server_add, TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_API TETHER_MUST_USE tether_code tether_health_new(tether_server *server, tether_health **health);

/* Takes NULL. */
TETHER_API void tether_health_free(tether_health *health);

/* Sets the status of a service ("package.Service", or "": the server), and tells who watches it. SERVICE_UNKNOWN
 * forgets what was set. Any thread; never blocks. TETHER_FAILED_PRECONDITION: everything is NOT_SERVING for good.
 * TETHER_INVALID_ARGUMENT: no such status. TETHER_RESOURCE_EXHAUSTED: no memory, nothing was changed. */
TETHER_API TETHER_MUST_USE tether_code tether_health_set(tether_health *health, const char *service,
                                                         tether_health_status status);

/* Makes every status NOT_SERVING for good, and tells who watches; calls of all services go on being taken. For servers
 * that want to be left alone before they begin to shut down, which does the same. Any thread; never blocks. */
TETHER_API void tether_health_shutdown(tether_health *health);

/* ---- Client -------------------------------------------------------------------------------- */

/* Asks once; blocks until ctx ends at the latest. TETHER_OK and the status; TETHER_NOT_FOUND: no such service;
 * TETHER_UNIMPLEMENTED: no health service; else the code the call ended with. */
TETHER_API TETHER_MUST_USE tether_code tether_health_check(tether_client *client, const tether_ctx *ctx,
                                                           const char *service, tether_health_status *status);

/* Starts to watch a service; never blocks. The call is the caller's, as from tether_call_start: read with
 * tether_health_next, ended with tether_call_cancel, released with tether_call_unref. */
TETHER_API TETHER_MUST_USE tether_call *tether_health_watch(tether_client *client, const tether_ctx *ctx,
                                                            const char *service);

/* Blocks for the next status: the first comes at once, more when it changes; of changes that come faster than they are
 * read only the last. TETHER_OK and the status; else the code that the call ended with (TETHER_UNAVAILABLE where the
 * server ended it with TETHER_OK): watch again, with a back-off, unless it is TETHER_UNIMPLEMENTED. */
TETHER_API TETHER_MUST_USE tether_code tether_health_next(tether_call *watch, tether_health_status *status);

#ifdef __cplusplus
}
#endif
#endif
