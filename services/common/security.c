#include "common/security.h"

#include <stddef.h>
#include <tether/policy.h>

#include "common/log.h"

enum { MAX_CLIENTS = 80, MAX_INTERCEPTORS = 16 };

svc_security svc_security_given;

/* The main thread's. */
static tether_policy *policy;
static tether_credentials *credentials;
static tether_tls server_tls, client_tls, self_tls;
static const tether_interceptor *interceptors[MAX_INTERCEPTORS];
static tether_server *watched;
static tether_client *clients[MAX_CLIENTS];
static size_t client_count;

bool svc_security_open(void) {
  const svc_security *given = &svc_security_given;
  if (given->policy && tether_policy_open(given->policy, &policy) != TETHER_OK) return false;
  if (given->token && tether_credentials_file(given->token, &credentials) != TETHER_OK) return false;
  client_tls = (tether_tls){.cert_file = given->cert, .key_file = given->key, .ca_file = given->ca};
  server_tls = client_tls;
  server_tls.require_client_cert = given->require_client_cert;
  self_tls = client_tls;
  self_tls.ca_file = NULL;
  self_tls.insecure_no_server_check = true;
  return true;
}

void svc_security_of_server(tether_server_options *options) {
  /* A half of it is an error that the server tells. */
  if (svc_security_given.cert || svc_security_given.key || svc_security_given.require_client_cert)
    options->tls = &server_tls;
  if (!policy) return;
  size_t count = 0;
  for (; options->interceptors && options->interceptors[count] && count + 2 < MAX_INTERCEPTORS; count++)
    interceptors[count] = options->interceptors[count];
  interceptors[count] = tether_policy_interceptor(policy);
  options->interceptors = interceptors;
}

void svc_security_of_client(tether_client_options *options) {
  if (svc_security_given.ca) options->tls = &client_tls;
  options->credentials = credentials;
}

void svc_security_of_self(tether_client_options *options) {
  if (svc_security_given.cert) options->tls = &self_tls;
}

void svc_security_watch_server(tether_server *server) { watched = server; }

void svc_security_watch_client(tether_client *client) {
  if (client_count < MAX_CLIENTS) clients[client_count++] = client;
}

/* FAILED_PRECONDITION: there is nothing to reload. */
static int failed(tether_code code) { return code != TETHER_OK && code != TETHER_FAILED_PRECONDITION; }

void svc_security_reload(void) {
  int failures = 0;
  if (watched) failures += failed(tether_server_reload_tls(watched));
  for (size_t i = 0; i < client_count; i++) failures += failed(tether_client_reload_tls(clients[i]));
  if (policy) failures += failed(tether_policy_reload(policy));
  if (credentials) failures += failed(tether_credentials_reload(credentials));
  svc_log line;
  svc_log_begin(&line, "reload", NULL);
  svc_log_text(&line, "status", failures ? "kept" : "done");
  if (failures) svc_log_text(&line, "note", "what could not be used is left as it was; see the lines before this one");
  svc_log_end(&line);
}

void svc_security_close(void) {
  tether_policy_close(policy);
  tether_credentials_unref(credentials);
  policy = NULL;
  credentials = NULL;
  watched = NULL;
  client_count = 0;
}
