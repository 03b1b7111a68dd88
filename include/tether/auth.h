/* tether/auth.h: an interceptor that asks who calls before anything else happens.
 *
 *   static tether_code check(void *data, const tether_call *call, char principal[TETHER_PRINCIPAL_SIZE]) {
 *     const char *token;
 *     tether_code code = tether_call_get_token(call, &token); (tether/credentials.h)
 *     if (code != TETHER_OK) return TETHER_UNAUTHENTICATED;
 *     return find_user(data, token, principal) ? TETHER_OK : TETHER_UNAUTHENTICATED;
 *   }
 *   tether_auth auth;
 *   tether_auth_init(&auth, check, users);
 *   ... .interceptors = (const tether_interceptor *const[]){&auth.interceptor, NULL} ...
 *
 * A refused caller learns the code and "the caller is not known" or "the caller may not do this", and nothing of the
 * reason. */
#ifndef TETHER_AUTH_H
#define TETHER_AUTH_H

#include <tether/interceptor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TETHER_PRINCIPAL_SIZE 256

/* Looks at the call's metadata, peer and path, and writes a name for the caller; it is empty at first and may stay so.
 * TETHER_OK: the call goes on. Anything else refuses it; TETHER_UNAUTHENTICATED: nobody known,
 * TETHER_PERMISSION_DENIED: somebody known who may not. Threads and blocking as begin (tether/interceptor.h). */
typedef tether_code (*tether_auth_fn)(void *data, const tether_call *call, char principal[TETHER_PRINCIPAL_SIZE]);

typedef struct tether_auth {
  tether_interceptor interceptor; /* for the lists of servers; it lets a client's calls pass */
  tether_auth_fn check;
  void *data;
} tether_auth;

/* Prepares the caller's memory, which must outlive the servers. */
TETHER_API void tether_auth_init(tether_auth *auth, tether_auth_fn check, void *data);

/* The name that the check wrote, in a handler's context and those derived from it; NULL if it wrote none. It does not
 * travel. Borrowed: valid while ctx is held. */
TETHER_API const char *tether_principal(const tether_ctx *ctx);

#ifdef __cplusplus
}
#endif
#endif
