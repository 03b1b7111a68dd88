/* The list of addresses.
 *
 * Happy path: a name's look-up answers -> addresses that are new get a subchannel, those that are known keep theirs
 * with its connection, those that are gone drain: they take no more calls, what they have accepted finishes. Failures:
 * a look-up that fails leaves the list as it is, and comes again after a back-off like that of connections; a client
 * that has no addresses yet is in TRANSIENT_FAILURE then. The list changes on the resolver's thread alone, which may
 * block: so it can wait for the attempts of those that are gone. */
#include "rpc/addresses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/client.h"
#include "rpc/dispatch.h"

/* ---- Targets ------------------------------------------------------------------------------- */

static tether_code refuse(const char *target, const char *why) {
  fprintf(stderr, "tether: %s: %s\n", target, why);
  return TETHER_INVALID_ARGUMENT;
}

tether_code tth_name_parse(const char *target, bool *is_name, tth_name *name) {
  name->tls = strncmp(target, "dns+tls:", 8) == 0;
  *is_name = name->tls || strncmp(target, "dns:", 4) == 0;
  if (!*is_name) return TETHER_OK;
  const char *rest = target + (name->tls ? 8 : 4);
  if (strchr(target, ',')) return refuse(target, "a name stands alone: it has all its addresses");
  if (strncmp(rest, "///", 3) != 0) return refuse(target, "want dns:///name:port or dns+tls:///name:port");
  rest += 3;
  const char *colon = strrchr(rest, ':'), *end = colon;
  if (!colon || colon == rest || !colon[1]) return refuse(target, "no name, or no port behind it");
  if (*rest == '[' && end[-1] == ']') { /* an IPv6 address */
    rest++;
    end--;
  }
  if ((size_t)(end - rest) >= sizeof name->host || strlen(colon + 1) >= sizeof name->port || strchr(rest, '/'))
    return refuse(target, "not a name and a port");
  snprintf(name->host, sizeof name->host, "%.*s", (int)(end - rest), rest);
  snprintf(name->port, sizeof name->port, "%s", colon + 1);
  return TETHER_OK;
}

static tth_subchannel *find(tth_subchannel *const *subs, size_t count, const char *address) {
  for (size_t i = 0; i < count; i++)
    if (subs[i] && strcmp(subs[i]->address, address) == 0) return subs[i];
  return NULL;
}

/* Splits the target at its commas and makes a subchannel for each address. */
static tether_code add_addresses(tether_client *client) {
  size_t most = 1;
  for (const char *at = client->target; (at = strchr(at, ',')); at++) most++;
  client->subchannels = calloc(most, sizeof(tth_subchannel *));
  client->balance.ready = calloc(most, sizeof(tth_subchannel *));
  char *list = strdup(client->target), *rest = list;
  tether_code code = client->subchannels && client->balance.ready && list ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
  for (char *address; code == TETHER_OK && (address = strsep(&rest, ","));) {
    if (find(client->subchannels, client->subchannel_count, address)) continue;
    code = tth_subchannel_new(client, address, &client->subchannels[client->subchannel_count]);
    if (code == TETHER_OK) client->subchannel_count++;
  }
  free(list);
  return code;
}

static void on_resolved(void *owner, char *const *addresses, size_t count, const char *why);

tether_code tth_addresses_open(tether_client *client, const tth_name *name) {
  tth_addresses *from = &client->addresses;
  from->due_ns = INT64_MIN;
  from->ended_ns = INT64_MIN;
  if (!name) return add_addresses(client);
  from->ops = client->transport->resolver;
  if (!from->ops) return refuse(client->target, "names are not looked up on this transport");
  if (name->tls && !client->tls)
    return refuse(client->target, "the target is one of TLS, and there are no TLS options");
  from->known_ns = TETHER_FOREVER;
  const char *scheme = name->tls ? "tls+tcp" : "tcp";
  return from->ops->open(scheme, name->host, name->port, on_resolved, client, &from->resolver);
}

void tth_addresses_close(tether_client *client) {
  pthread_mutex_lock(&client->mu);
  tth_resolver *resolver = client->addresses.resolver;
  client->addresses.resolver = NULL; /* nobody asks any more */
  pthread_mutex_unlock(&client->mu);
  if (resolver) client->addresses.ops->close(resolver);
}

/* ---- When ---------------------------------------------------------------------------------- */

static void fail_locked(tether_client *client, const char *why) {
  tth_addresses *from = &client->addresses;
  from->failed = true;
  from->backoff_ns = from->backoff_ns ? from->backoff_ns / 5 * 8 : client->backoff_initial_ns;
  if (from->backoff_ns > client->backoff_max_ns) from->backoff_ns = client->backoff_max_ns;
  from->due_ns = tether_time_add(from->ended_ns, from->backoff_ns);
  if (client->subchannel_count == 0) tth_client_failed_locked(client, "the name cannot be resolved: %s", why);
}

int64_t tth_addresses_act_locked(tether_client *client, int64_t now_ns) {
  tth_addresses *from = &client->addresses;
  if (!from->resolver || from->resolving) return TETHER_FOREVER;
  if (from->due_ns > now_ns) return from->due_ns;
  from->resolving = from->ops->resolve(from->resolver);
  if (from->resolving) return TETHER_FOREVER;
  from->ended_ns = now_ns;
  fail_locked(client, "no thread, or out of memory");
  return from->due_ns;
}

void tth_addresses_doubt_locked(tether_client *client) {
  tth_addresses *from = &client->addresses;
  if (!from->resolver || from->failed) return;
  int64_t soonest_ns = tether_time_add(from->ended_ns, from->least_ns);
  if (soonest_ns < from->due_ns) from->due_ns = soonest_ns;
}

/* ---- A new list ---------------------------------------------------------------------------- */

/* A list being put together on the resolver's thread. */
struct list {
  tth_subchannel **subs, **ready;
  bool *fresh; /* made for it */
  size_t count;
};

static void list_free(struct list *list) {
  free(list->subs);
  free(list->ready);
  free(list->fresh);
  *list = (struct list){0};
}

/* false: no memory for any of it. An address there is no memory for is left out until the next time. */
static bool list_make(struct list *list, tether_client *client, char *const *addresses, size_t count) {
  *list = (struct list){.subs = calloc(count, sizeof(tth_subchannel *)),
                        .ready = calloc(count, sizeof(tth_subchannel *)),
                        .fresh = calloc(count, sizeof(bool))};
  for (size_t i = 0; i < count && list->subs && list->ready && list->fresh; i++) {
    if (find(list->subs, list->count, addresses[i])) continue;
    tth_subchannel *sub = find(client->subchannels, client->subchannel_count, addresses[i]);
    list->fresh[list->count] = !sub;
    if (sub || tth_subchannel_new(client, addresses[i], &sub) == TETHER_OK) list->subs[list->count++] = sub;
  }
  if (list->count > 0) return true;
  list_free(list);
  return false;
}

/* Puts the list in the place of the client's, which is in *list afterwards. Those of the old one that are not in the
 * new rest, and their connections are noted, referenced, in conns. */
static void exchange_locked(tether_client *client, struct list *list, tth_conn **conns) {
  struct list old = {.subs = client->subchannels, .ready = client->balance.ready, .count = client->subchannel_count};
  for (size_t i = 0; i < old.count; i++) {
    tth_subchannel *sub = old.subs[i];
    if (find(list->subs, list->count, sub->address)) continue;
    conns[i] = sub->conn ? tth_conn_ref(sub->conn) : NULL;
    tth_subchannel_rest_locked(sub);
  }
  for (size_t i = 0; i < client->balance.ready_count; i++) list->ready[i] = old.ready[i];
  client->subchannels = list->subs;
  client->subchannel_count = list->count;
  client->balance.ready = list->ready;
  free(list->fresh);
  *list = old;
}

/* What is gone drains: its queued calls go elsewhere, and nothing connects there any more. */
static void drain(tether_client *client, struct list *old, tth_conn **conns) {
  for (size_t i = 0; i < old->count; i++) {
    tth_subchannel *sub = old->subs[i];
    if (find(client->subchannels, client->subchannel_count, sub->address)) continue;
    if (conns[i]) tth_dispatch_take_queued(conns[i]);
    tth_conn_unref(conns[i]);
    tth_subchannel_stop(sub);
    pthread_mutex_lock(&client->mu);
    tth_subchannel_unref_locked(sub);
    pthread_mutex_unlock(&client->mu);
  }
}

static void on_resolved(void *owner, char *const *addresses, size_t count, const char *why) {
  tether_client *client = owner;
  tth_addresses *from = &client->addresses;
  struct list list = {0};
  bool made = count > 0 && list_make(&list, client, addresses, count);
  tth_conn **conns = calloc(client->subchannel_count + 1, sizeof *conns);
  pthread_mutex_lock(&client->mu);
  bool taken = made && conns && !client->closing;
  from->ended_ns = tether_now_ns();
  if (taken) {
    from->failed = false;
    if (from->known_ns == TETHER_FOREVER) from->known_ns = from->ended_ns;
    from->backoff_ns = 0;
    from->due_ns = tether_time_add(from->ended_ns, from->interval_ns);
    exchange_locked(client, &list, conns);
  } else {
    fail_locked(client, count > 0 ? "out of memory" : why);
  }
  pthread_mutex_unlock(&client->mu);
  tth_client_settle(client);
  if (taken) {
    drain(client, &list, conns);
  } else {
    for (size_t i = 0; i < list.count; i++) {
      if (!list.fresh[i]) continue;
      tth_subchannel_stop(list.subs[i]);
      tth_subchannel_unref_locked(list.subs[i]); /* nobody else has seen it */
    }
  }
  list_free(&list);
  free(conns);
  pthread_mutex_lock(&client->mu);
  from->resolving = false; /* not before: the next one's thread would change the list beside this one */
  pthread_mutex_unlock(&client->mu);
  tth_client_settle(client);
}
