#include "common/peers.h"

#define KEEPALIVE_NS (2 * TETHER_SEC)

tether_client_options svc_client_options(const tether_interceptor *const *interceptors) {
  return (tether_client_options){
      .balancing = TETHER_ROUND_ROBIN,
      .backoff_initial_ns = 100 * TETHER_MS,
      .backoff_max_ns = 2 * TETHER_SEC,
      .connect_timeout_ns = 2 * TETHER_SEC,
      .resolve_interval_ns = 5 * TETHER_SEC,
      .resolve_least_ns = TETHER_SEC,
      .keepalive = {.time_ns = KEEPALIVE_NS, .timeout_ns = KEEPALIVE_NS, .permit_without_calls = true},
      .interceptors = interceptors};
}

void svc_permit_clients(tether_server_options *options) {
  options->permit_keepalive_time_ns = KEEPALIVE_NS / 2;
  options->permit_keepalive_without_calls = true;
}
