/* edge/stream.h: a reply whose hits are sent as they are found: a line or an event for each, then one summary.
 *
 *   {"name":"vim","version":"2:9.0","section":"editors","summary":"Vi IMproved","score":7.1}
 *   {"summary":{"status":200,"hits":1,"shards":[...],"partial":false,"full":true,...}}
 *
 * `status` is what the HTTP status would have been of a reply in one piece; a stream without a summary was cut. */
#ifndef SERVICES_EDGE_STREAM_H
#define SERVICES_EDGE_STREAM_H

#include <jansson.h>

#include "common/log.h"
#include "edge/edge.h"
#include "edge/format.h"

/* The HTTP thread's. */
typedef struct edge_stream {
  edge_format format;
  edge_mail readable; /* the call can be read again */
  edge_mail ended;    /* the request's context has ended */
  tether_after after; /* posts `ended` */
  bool waits;         /* `readable` will be posted */
  bool cut;           /* `ended` was delivered */
  bool over;          /* the call has said how it ended */
  bool started;       /* the reply's head is sent */
  json_t *summary;
  uint64_t hits;
  int64_t first_ns; /* from the request to the first hit */
} edge_stream;

/* Answers the request, whose call is started and whose `render` is NULL, as a stream in the format. */
void edge_stream_begin(edge_request *r, edge_format format);

/* The client has left and the context was cancelled: ends the reply with `body`. */
void edge_stream_hangup(edge_request *r, json_t *body);

/* Adds to a log line what is known of the stream. */
void edge_stream_log(svc_log *line, const edge_request *r);

#endif
