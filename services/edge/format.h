/* edge/format.h: the forms a search's reply can have, and which one a client asked for. */
#ifndef SERVICES_EDGE_FORMAT_H
#define SERVICES_EDGE_FORMAT_H

typedef enum edge_format {
  EDGE_JSON,   /* one object, best hits first */
  EDGE_NDJSON, /* a line per hit as it is found, then one with a summary */
  EDGE_EVENTS, /* the same as server-sent events */
  EDGE_FORMATS,
} edge_format;

/* "application/json" and so on. */
const char *edge_format_type(edge_format format);

/* The format called `name` ("json", "ndjson", "events"); EDGE_FORMATS if there is none. */
edge_format edge_format_named(const char *name);

typedef enum edge_accepted {
  EDGE_ACCEPTED,
  EDGE_NOT_ACCEPTABLE, /* the header allows none of the formats */
  EDGE_NOT_READABLE,   /* it is not of the form that HTTP gives it */
} edge_accepted;

/* Picks a format by an Accept header (RFC 9110, 12.5.1; NULL or empty: anything): the one with the highest quality;
 * among equals the one named most exactly, then the one named first, then JSON. Writes *format if EDGE_ACCEPTED. */
edge_accepted edge_format_accept(const char *accept, edge_format *format);

#endif
