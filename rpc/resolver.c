/* Names by getaddrinfo, which blocks for as long as it likes: each look-up has a thread of its own, which holds a
 * reference to the resolver and nothing of the client's. So a close waits for no name server: it says that nobody wants
 * to know any more, and the thread ends by itself. */
#include "rpc/resolver.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More addresses than that are left out. */
#define ADDRESSES_MOST 256

struct tth_resolver {
  _Atomic int refs;
  char *scheme, *host, *port;
  tth_resolved_fn resolved;
  void *owner;
  pthread_mutex_t mu;
  pthread_cond_t told;
  /* under mu */
  bool closed, telling;
};

static void unref(tth_resolver *resolver) {
  if (atomic_fetch_sub(&resolver->refs, 1) != 1) return;
  pthread_cond_destroy(&resolver->told);
  pthread_mutex_destroy(&resolver->mu);
  free(resolver->scheme);
  free(resolver->host);
  free(resolver->port);
  free(resolver);
}

static tether_code open_system(const char *scheme, const char *host, const char *port, tth_resolved_fn resolved,
                               void *owner, tth_resolver **result) {
  tth_resolver *resolver = calloc(1, sizeof *resolver);
  if (!resolver) return TETHER_RESOURCE_EXHAUSTED;
  resolver->refs = 1;
  resolver->scheme = strdup(scheme);
  resolver->host = strdup(host);
  resolver->port = strdup(port);
  resolver->resolved = resolved;
  resolver->owner = owner;
  pthread_mutex_init(&resolver->mu, NULL);
  pthread_cond_init(&resolver->told, NULL);
  if (!resolver->scheme || !resolver->host || !resolver->port) {
    unref(resolver);
    return TETHER_RESOURCE_EXHAUSTED;
  }
  *result = resolver;
  return TETHER_OK;
}

static void tell(tth_resolver *resolver, char *const *addresses, size_t count, const char *why) {
  pthread_mutex_lock(&resolver->mu);
  bool wanted = resolver->telling = !resolver->closed;
  pthread_mutex_unlock(&resolver->mu);
  if (!wanted) return;
  resolver->resolved(resolver->owner, addresses, count, why);
  pthread_mutex_lock(&resolver->mu);
  resolver->telling = false;
  pthread_cond_broadcast(&resolver->told);
  pthread_mutex_unlock(&resolver->mu);
}

/* An address as a URL; NULL: no memory, or not one that a URL can name. */
static char *url_of(const tth_resolver *resolver, const struct addrinfo *info) {
  char host[NI_MAXHOST], port[NI_MAXSERV], url[NI_MAXHOST + NI_MAXSERV + 32];
  if (getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0 ||
      strchr(host, '%'))
    return NULL;
  bool v6 = info->ai_family == AF_INET6;
  snprintf(url, sizeof url, "%s://%s%s%s:%s", resolver->scheme, v6 ? "[" : "", host, v6 ? "]" : "", port);
  return strdup(url);
}

static void *look_up(void *data) {
  tth_resolver *resolver = data;
  const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  struct addrinfo *first = NULL;
  char *addresses[ADDRESSES_MOST];
  size_t count = 0;
  int error = getaddrinfo(resolver->host, resolver->port, &hints, &first);
  const char *why = error == 0 ? "no address that can be connected to"
                    : error == EAI_SYSTEM
                        ? strerrordesc_np(errno)
                        : gai_strerror(error);  // NOLINT(concurrency-mt-unsafe): glibc's texts are constant
  for (const struct addrinfo *info = first; info && count < ADDRESSES_MOST; info = info->ai_next)
    if ((addresses[count] = url_of(resolver, info))) count++;
  if (first) freeaddrinfo(first);
  tell(resolver, addresses, count, why);
  for (size_t i = 0; i < count; i++) free(addresses[i]);
  unref(resolver);
  return NULL;
}

static bool resolve_system(tth_resolver *resolver) {
  pthread_t thread;
  sigset_t all, before;
  atomic_fetch_add(&resolver->refs, 1);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = pthread_create(&thread, NULL, look_up, resolver) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (started)
    pthread_detach(thread);
  else
    unref(resolver);
  return started;
}

static void close_system(tth_resolver *resolver) {
  if (!resolver) return;
  pthread_mutex_lock(&resolver->mu);
  resolver->closed = true;
  while (resolver->telling) pthread_cond_wait(&resolver->told, &resolver->mu);
  pthread_mutex_unlock(&resolver->mu);
  unref(resolver);
}

const tth_resolver_ops tth_resolver_system = {.open = open_system, .resolve = resolve_system, .close = close_system};
