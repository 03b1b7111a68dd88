/* tether/base.h: what every other tether header needs: status codes, time units, attributes.
 *
 * The ownership words used by every function name in tether:
 *
 *   new / free     one owner; `free` ends the object
 *   ref / unref    shared; the last `unref` ends the object
 *   init / fini    the caller supplies the memory
 *   open / close   touches the outside world (sockets, threads, files)
 *   ..._locked     private: the caller holds the lock
 *
 * `free`, `unref` and `close` take NULL and do nothing. Out-parameters come last and are written only
 * on success. Times are int64_t nanoseconds on CLOCK_MONOTONIC and carry their unit in the name. */
#ifndef TETHER_BASE_H
#define TETHER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TETHER_MUST_USE __attribute__((warn_unused_result))
#define TETHER_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TETHER_CLEANUP(fn) \
  __attribute__((cleanup(fn), unused)) /* held to the end of its scope, whether named again or not */
#else
#define TETHER_MUST_USE
#define TETHER_PRINTF(fmt, args)
#endif

#define TETHER_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* The one error type of both libraries: gRPC's status codes, with gRPC's numbers (grpc/grpc
 * doc/statuscodes.md). Each says who may produce it. */
typedef enum tether_code {
  TETHER_OK = 0,                  /* only ever produced by an application's success */
  TETHER_CANCELLED = 1,           /* the context was cancelled, or the peer cancelled */
  TETHER_UNKNOWN = 2,             /* a handler's or peer's status that makes no sense */
  TETHER_INVALID_ARGUMENT = 3,    /* tether: a bad argument to a local call; else application only */
  TETHER_DEADLINE_EXCEEDED = 4,   /* the deadline passed, whatever the call was doing */
  TETHER_NOT_FOUND = 5,           /* application only */
  TETHER_ALREADY_EXISTS = 6,      /* application only */
  TETHER_PERMISSION_DENIED = 7,   /* an authorisation policy, or the application */
  TETHER_RESOURCE_EXHAUSTED = 8,  /* memory, descriptors, or a size limit */
  TETHER_FAILED_PRECONDITION = 9, /* tether: used in a wrong state (after fork, after close) */
  TETHER_ABORTED = 10,            /* application only */
  TETHER_OUT_OF_RANGE = 11,       /* application only */
  TETHER_UNIMPLEMENTED = 12,      /* the server has no such method */
  TETHER_INTERNAL = 13,           /* bytes that do not parse; a broken invariant of the peer */
  TETHER_UNAVAILABLE = 14,        /* the connection is down or was lost */
  TETHER_DATA_LOSS = 15,          /* application only */
  TETHER_UNAUTHENTICATED = 16,    /* credentials missing or bad */
} tether_code;

/* How many codes there are. */
#define TETHER_CODES 17

/* The code's name as gRPC spells it ("DEADLINE_EXCEEDED"); "CODE_<n>" is never returned: a number
 * outside the enum gives "UNKNOWN". Static storage; never NULL. */
TETHER_API const char *tether_code_name(tether_code code);

#define TETHER_NS INT64_C(1)
#define TETHER_US INT64_C(1000)
#define TETHER_MS INT64_C(1000000)
#define TETHER_SEC INT64_C(1000000000)

/* "No deadline", "for ever". Every sum of times saturates at this value. */
#define TETHER_FOREVER INT64_MAX

/* The current time of the installed clock (CLOCK_MONOTONIC unless tether/clock.h replaced it), in
 * nanoseconds. Any thread; async-signal-safe with the default clock. */
TETHER_API int64_t tether_now_ns(void);

/* a + b, saturating at INT64_MAX and INT64_MIN. */
TETHER_API int64_t tether_time_add(int64_t a_ns, int64_t b_ns);

#ifdef __cplusplus
}
#endif
#endif
