/* edge/json.h: replies as JSON. Every function returns a new value, which takes over the one it gets; NULL, which all
 * of them pass on, without memory. */
#ifndef SERVICES_EDGE_JSON_H
#define SERVICES_EDGE_JSON_H

#include <jansson.h>

#include <tether/ledger.h>

#include "search/v1/search.tether.h"

json_t *edge_json_search(const Search__V1__SearchReply *reply);
/* Of a stream: a hit, and what comes after the last. */
json_t *edge_json_hit(const Search__V1__Hit *hit);
json_t *edge_json_summary(const Search__V1__SearchSummary *summary);

json_t *edge_json_health(const Search__V1__HealthReply *reply);

/* {"error": {"code", "message", "cause", "origin"}}; cause may be NULL. */
json_t *edge_json_error(tether_code code, const char *message, const tether_cause *cause);

/* Where the call's time went (tether/ledger.h), as a tree. */
json_t *edge_json_ledger(const tether_ledger *row);

/* Adds "took_ms" and, if the context has a trace, "trace_id". ctx may be NULL. */
json_t *edge_json_finish(json_t *body, const tether_ctx *ctx, int64_t took_ns);

#endif
