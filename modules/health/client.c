#include <string.h>
#include <tether/health.h>

#include "grpc/health/v1/health.tether.h"

const char *tether_health_status_name(tether_health_status status) {
  static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  return (unsigned)status < sizeof names / sizeof *names ? names[status] : names[0];
}

/* A status that came over the wire may be any number. */
static tether_health_status status_of(const Grpc__Health__V1__HealthCheckResponse *response) {
  unsigned status = (unsigned)response->status;
  return status <= TETHER_HEALTH_SERVICE_UNKNOWN ? (tether_health_status)status : TETHER_HEALTH_UNKNOWN;
}

tether_code tether_health_check(tether_client *client, const tether_ctx *ctx, const char *service,
                                tether_health_status *status) {
  Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
  request.service = (char *)service;
  TETHER_SCOPED_CALL tether_call *call = grpc_health_v1_health_client_check(client, ctx, &request, NULL);
  const Grpc__Health__V1__HealthCheckResponse *response = grpc_health_v1_health_check_reply(call);
  if (response) *status = status_of(response);
  return tether_call_code(call);
}

tether_call *tether_health_watch(tether_client *client, const tether_ctx *ctx, const char *service) {
  Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
  request.service = (char *)service;
  return grpc_health_v1_health_client_watch_start(client, ctx, &request, NULL, NULL, NULL);
}

tether_code tether_health_next(tether_call *watch, tether_health_status *status) {
  const Grpc__Health__V1__HealthCheckResponse *response;
  tether_code code = grpc_health_v1_health_watch_recv_reply(watch, &response);
  if (code == TETHER_OK && !response) return TETHER_UNAVAILABLE;
  if (code == TETHER_OK) *status = status_of(response);
  return code;
}
