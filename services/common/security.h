/* common/security.h: who a service is, whom it believes, and who may call it: options that all of them have. One set
 * for a process, which is server and client with the same certificate. SIGHUP reads all the files again. */
#ifndef SERVICES_COMMON_SECURITY_H
#define SERVICES_COMMON_SECURITY_H

#include <tether/rpc.h>

/* Filled in by the options. */
typedef struct svc_security {
  const char *cert, *key, *ca, *policy, *token;
  bool require_client_cert;
} svc_security;
extern svc_security svc_security_given;

/* Rows of an option table. */
#define SVC_OPTIONS_TLS                                                                                    \
  {"tls-cert", "FILE", "certificate of this process, PEM; for tls+tcp:// and wss://", SVC_TEXT,            \
   &svc_security_given.cert},                                                                              \
      {"tls-key", "FILE", "its private key", SVC_TEXT, &svc_security_given.key}, {                         \
    "tls-ca", "FILE", "authorities to trust, and their revocation lists", SVC_TEXT, &svc_security_given.ca \
  }
#define SVC_OPTION_TOKEN \
  { "token-file", "FILE", "bearer token to send with every call", SVC_TEXT, &svc_security_given.token }
#define SVC_OPTIONS_GUARD                                                                                  \
  {"require-client-cert", NULL, "refuse clients without a certificate that --tls-ca has signed", SVC_FLAG, \
   &svc_security_given.require_client_cert},                                                               \
  {                                                                                                        \
    "policy", "FILE", "who may call what (docs/security.md); default everybody everything", SVC_TEXT,      \
        &svc_security_given.policy                                                                         \
  }

/* Reads the policy and the token. false: one cannot be used, and standard error says why. */
TETHER_MUST_USE bool svc_security_open(void);

/* What the options mean for a server and a client. Call them after open, with everything else set: the server's
 * interceptors come before the policy. */
void svc_security_of_server(tether_server_options *options);
void svc_security_of_client(tether_client_options *options);

/* A client that calls this process itself, by a name that its certificate need not have. */
void svc_security_of_self(tether_client_options *options);

/* Opened with those options: to be reloaded. Before reload can be called; they are closed before close. */
void svc_security_watch_server(tether_server *server);
void svc_security_watch_client(tether_client *client);

/* Reads all files again and logs how that went: what cannot be used is left as it was. */
void svc_security_reload(void);

void svc_security_close(void);

#endif
