/* Tokens of client calls. Happy path: a call is packed -> its credentials have a token, or ask for one -> the token is
 * put behind the other metadata of the packed request -> the call goes on to a connection, where dispatch.c sees to it
 * that nobody on the way reads it. Failures: no token, or one that cannot be sent, ends the call before it has left. */
#include "rpc/credentials.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rpc/client.h"
#include "rpc/encode.h"
#include "rpc/metadata.h"
#include "rpc/text_file.h"

static const char scheme[] = "Bearer ";
static const char key[] = "authorization";

/* With the rest of its metadata it has to fit what servers take by default. */
#define TOKEN_MOST ((size_t)8000)

struct tether_credentials {
  _Atomic unsigned refs;
  /* fixed: one of the two, or none */
  char *path;
  tether_token_fn fetch;
  void *data;
  void (*free_data)(void *data);

  pthread_mutex_t lock;
  char *value; /* under lock: "Bearer TOKEN" */
};

struct tether_token_request {
  tether_call *call;
  tth_out *out;
};

/* ---- Tokens -------------------------------------------------------------------------------- */

static void wipe(char *text) {
  if (text) explicit_bzero(text, strlen(text));
  free(text);
}

static bool is_token(const char *token, size_t len) {
  if (len == 0 || len > TOKEN_MOST) return false;
  for (size_t i = 0; i < len; i++)
    if (!isalnum((unsigned char)token[i]) && !strchr("-._~+/=", token[i])) return false;
  return true;
}

/* The entry's value, of a token. */
static tether_code value_of(const char *token, size_t len, char **value) {
  if (!is_token(token, len)) return TETHER_INVALID_ARGUMENT;
  char *made = malloc(sizeof scheme + len);
  if (!made) return TETHER_RESOURCE_EXHAUSTED;
  memcpy(made, scheme, sizeof scheme - 1);
  memcpy(made + sizeof scheme - 1, token, len);
  made[sizeof scheme - 1 + len] = 0;
  *value = made;
  return TETHER_OK;
}

static tether_code read_value(const char *path, const char *before, char **value) {
  char why[160] = "out of memory", *text;
  tether_code code = tth_text_file_read(path, &text, why, sizeof why);
  if (code == TETHER_OK) {
    const char *space = " \t\r\n";
    const char *token = text + strspn(text, space);
    size_t len = strlen(token);
    while (len > 0 && strchr(space, token[len - 1])) len--;
    code = value_of(token, len, value);
    if (code == TETHER_INVALID_ARGUMENT)
      snprintf(why, sizeof why, "it holds no token (letters, digits and -._~+/=, at most %zu)", TOKEN_MOST);
    wipe(text);
  }
  if (code != TETHER_OK) fprintf(stderr, "tether: token file %s: %s%s\n", path, before, why);
  return code;
}

/* ---- Credentials --------------------------------------------------------------------------- */

static void release(tether_credentials *credentials) {
  if (credentials->free_data) credentials->free_data(credentials->data);
  wipe(credentials->value);
  free(credentials->path);
  pthread_mutex_destroy(&credentials->lock);
  free(credentials);
}

tether_credentials *tether_credentials_ref(tether_credentials *credentials) {
  atomic_fetch_add_explicit(&credentials->refs, 1, memory_order_relaxed);
  return credentials;
}

void tether_credentials_unref(tether_credentials *credentials) {
  if (credentials && atomic_fetch_sub_explicit(&credentials->refs, 1, memory_order_acq_rel) == 1) release(credentials);
}

static tether_credentials *credentials_new(void) {
  tether_credentials *credentials = calloc(1, sizeof *credentials);
  if (!credentials) return NULL;
  credentials->refs = 1;
  pthread_mutex_init(&credentials->lock, NULL);
  return credentials;
}

tether_code tether_credentials_bearer(const char *token, tether_credentials **credentials) {
  tether_credentials *made = credentials_new();
  if (!made) return TETHER_RESOURCE_EXHAUSTED;
  tether_code code = value_of(token, strlen(token), &made->value);
  if (code == TETHER_OK)
    *credentials = made;
  else
    release(made);
  return code;
}

tether_code tether_credentials_file(const char *path, tether_credentials **credentials) {
  tether_credentials *made = credentials_new();
  if (!made) return TETHER_RESOURCE_EXHAUSTED;
  made->path = strdup(path);
  tether_code code = made->path ? read_value(path, "", &made->value) : TETHER_RESOURCE_EXHAUSTED;
  if (code == TETHER_OK)
    *credentials = made;
  else
    release(made);
  return code;
}

tether_code tether_credentials_reload(tether_credentials *credentials) {
  if (!credentials->path) return TETHER_FAILED_PRECONDITION;
  char *value;
  tether_code code = read_value(credentials->path, "not reloaded, the token read before stays in use: ", &value);
  if (code != TETHER_OK) return code;
  pthread_mutex_lock(&credentials->lock);
  char *old = credentials->value;
  credentials->value = value;
  pthread_mutex_unlock(&credentials->lock);
  wipe(old);
  return TETHER_OK;
}

tether_code tether_credentials_supplied(tether_token_fn fetch, void *data, void (*free_data)(void *data),
                                        tether_credentials **credentials) {
  tether_credentials *made = credentials_new();
  if (!made) return TETHER_RESOURCE_EXHAUSTED;
  made->fetch = fetch;
  made->data = data;
  made->free_data = free_data;
  *credentials = made;
  return TETHER_OK;
}

/* ---- Calls --------------------------------------------------------------------------------- */

/* The call goes on with this value, or ends. */
static void go(tether_call *call, tth_out *out, const char *value) {
  size_t len = strlen(value);
  call->c.secret = true;
  call->c.metadata_bytes += sizeof key - 1 + len + TTH_ENTRY_OVERHEAD;
  if (tth_encode_one_more(&out, key, value, len)) {
    tth_client_call_go(call, out);
    return;
  }
  tth_out_free(out);
  tth_client_call_end(call, TETHER_RESOURCE_EXHAUSTED, "out of memory", NULL);
}

static void ask(tether_credentials *credentials, tether_call *call, tth_out *out) {
  tether_token_request *request = malloc(sizeof *request);
  if (!request) {
    tth_out_free(out);
    tth_client_call_end(call, TETHER_RESOURCE_EXHAUSTED, "out of memory", NULL);
    return;
  }
  call->c.lone = false; /* another thread may send it */
  *request = (tether_token_request){.call = tether_call_ref(call), .out = out};
  tth_client_call_stay(call);
  credentials->fetch(credentials->data, request);
}

void tth_credentials_apply(tether_credentials *credentials, tether_call *call, tth_out *out) {
  if (credentials->fetch) {
    ask(credentials, call, out);
    return;
  }
  pthread_mutex_lock(&credentials->lock);
  char *value = strdup(credentials->value);
  pthread_mutex_unlock(&credentials->lock);
  if (value) {
    go(call, out, value);
  } else {
    tth_out_free(out);
    tth_client_call_end(call, TETHER_RESOURCE_EXHAUSTED, "out of memory", NULL);
  }
  wipe(value);
}

const char *tether_token_request_path(const tether_token_request *request) { return request->call->path; }
const char *tether_token_request_url(const tether_token_request *request) { return request->call->c.client->target; }

static void answered(tether_token_request *request) {
  tether_call *call = request->call;
  free(request);
  tth_client_call_let_go(call);
  tether_call_unref(call);
}

void tether_token_supply(tether_token_request *request, const char *token) {
  char *value;
  tether_code code = value_of(token, strlen(token), &value);
  if (code != TETHER_OK) {
    bool memory = code == TETHER_RESOURCE_EXHAUSTED;
    tether_token_fail(request, memory ? code : TETHER_UNAUTHENTICATED,
                      memory ? "out of memory" : "what was supplied is no token (letters, digits and -._~+/=)");
    return;
  }
  go(request->call, request->out, value);
  wipe(value);
  answered(request);
}

void tether_token_fail(tether_token_request *request, tether_code code, const char *why) {
  char message[320];
  bool known = code > TETHER_OK && code <= TETHER_UNAUTHENTICATED;
  snprintf(message, sizeof message, "no token for the call: %s", why);
  tth_out_free(request->out);
  tth_client_call_end(request->call, known ? code : TETHER_UNKNOWN, message, NULL);
  answered(request);
}

/* ---- Server -------------------------------------------------------------------------------- */

tether_code tether_call_get_token(const tether_call *call, const char **token) {
  const tether_metadata *metadata = tether_call_metadata(call);
  const char *found = NULL;
  size_t count = 0;
  if (call->role != TTH_SERVER) return TETHER_NOT_FOUND;
  for (size_t i = 0; i < tether_metadata_count(metadata); i++) {
    tether_metadata_entry entry = tether_metadata_at(metadata, i);
    if (strcmp(entry.key, key) != 0) continue;
    count++;
    if (entry.len < sizeof scheme || strncasecmp(entry.value, scheme, sizeof scheme - 1) != 0) continue;
    if (is_token(entry.value + sizeof scheme - 1, entry.len - (sizeof scheme - 1)))
      found = entry.value + sizeof scheme - 1;
  }
  if (count == 0) return TETHER_NOT_FOUND;
  if (count > 1 || !found || !tth_conn_confidential(call->conn)) return TETHER_UNAUTHENTICATED;
  *token = found;
  return TETHER_OK;
}
