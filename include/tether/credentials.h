/* tether/credentials.h: bearer tokens that go with calls, as gRPC's call credentials do: as the metadata entry
 * "authorization: Bearer TOKEN".
 *
 * A token goes over tls+tcp, wss and ipc only: a call that would have to send it over anything else, where others can
 * read it, ends UNAUTHENTICATED before anything leaves. It goes one hop, to the server that is called, and never
 * further with the calls made there. It is in no log, message, cause or ledger. A call that is tried again sends the
 * same token again. */
#ifndef TETHER_CREDENTIALS_H
#define TETHER_CREDENTIALS_H

#include <tether/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_call tether_call;

/* Where tokens come from. Shared; any thread. For tether_client_options and tether_call_options, which hold it
 * themselves. */
typedef struct tether_credentials tether_credentials;

/* ref returns its argument; unref takes NULL. */
TETHER_API tether_credentials *tether_credentials_ref(tether_credentials *credentials);
TETHER_API void tether_credentials_unref(tether_credentials *credentials);

/* Always this token. TETHER_INVALID_ARGUMENT: it is empty, longer than 8000 bytes or has characters other than those of
 * RFC 6750 (letters, digits and -._~+/=). TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_API TETHER_MUST_USE tether_code tether_credentials_bearer(const char *token, tether_credentials **credentials);

/* The token in a file, white space around it left out. It is read now, and again by reload; which of the two failed,
 * and why, goes to standard error. Errors as above, and TETHER_INVALID_ARGUMENT: the file cannot be read. */
TETHER_API TETHER_MUST_USE tether_code tether_credentials_file(const char *path, tether_credentials **credentials);

/* Reads the file again: calls that begin afterwards have the new token. If it has no good one the old one stays. Blocks
 * for reading. TETHER_FAILED_PRECONDITION: these credentials have no file. */
TETHER_API TETHER_MUST_USE tether_code tether_credentials_reload(tether_credentials *credentials);

/* One call's wish for a token, to be answered exactly once, by tether_token_supply or tether_token_fail. */
typedef struct tether_token_request tether_token_request;

/* Called for each call, on the thread that starts it: must not block. It may answer at once, or later on any thread;
 * the call waits, as long as its context allows, and closing its client waits for the answer. */
typedef void (*tether_token_fn)(void *data, tether_token_request *request);

/* Tokens from a function. free_data (may be NULL) is called with `data` when nobody uses the credentials any more.
 * TETHER_RESOURCE_EXHAUSTED: no memory; `data` is still the caller's. */
TETHER_API TETHER_MUST_USE tether_code tether_credentials_supplied(tether_token_fn fetch, void *data,
                                                                   void (*free_data)(void *data),
                                                                   tether_credentials **credentials);

/* What the token is for: the method's path, and the URL the client was opened with. Borrowed until the answer. */
TETHER_API const char *tether_token_request_path(const tether_token_request *request);
TETHER_API const char *tether_token_request_url(const tether_token_request *request);

/* Answers. The token is copied; one that tether_credentials_bearer would refuse ends the call UNAUTHENTICATED. fail
 * ends it with `code` (TETHER_OK becomes UNKNOWN) and `why`, which must not have a secret in it. The call's callbacks
 * may run before these return. */
TETHER_API void tether_token_supply(tether_token_request *request, const char *token);
TETHER_API void tether_token_fail(tether_token_request *request, tether_code code, const char *why);

/* Server: the one bearer token of a call, for who verifies it (tether/auth.h). Borrowed from the call; NUL-terminated.
 * TETHER_NOT_FOUND: it has none. TETHER_UNAUTHENTICATED: what it has as authorization is not one bearer token, or came
 * over a connection that others can read, so that it must not be believed. */
TETHER_API TETHER_MUST_USE tether_code tether_call_get_token(const tether_call *call, const char **token);

#ifdef __cplusplus
}
#endif
#endif
