/* tether/rpc.h: remote calls that carry a context.
 *
 * Most programs use the typed functions that protoc-gen-tether writes; they are thin wrappers over this
 * header. A client:
 *
 *   tether_client *client;
 *   if (tether_client_open("ipc:///run/greeter.sock", NULL, &client) != TETHER_OK) ...
 *   TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 200 * TETHER_MS);
 *   TETHER_SCOPED_CALL tether_call *call = demo_v1_greeter_client_say_hello(client, ctx, &request, NULL);
 *   if (tether_call_code(call) == TETHER_OK) puts(demo_v1_greeter_say_hello_reply(call)->text);
 *   else fprintf(stderr, "%s\n", tether_call_message(call));
 *
 * A server:
 *
 *   static tether_code say_hello(const tether_ctx *ctx, tether_call *call, const Demo__V1__HelloRequest *request,
 *                                Demo__V1__HelloReply *reply, void *data) {
 *     reply->text = tether_call_printf(call, "hello %s", request->name);
 *     return reply->text ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
 *   }
 *   ...
 *   demo_v1_greeter_register(server, &(demo_v1_greeter_service){.say_hello = say_hello}, NULL)
 *
 * The rules:
 *
 *  1. A call is one object, the same type on both sides, reference counted. Everything read from it (reply,
 *     message, metadata, cause) is borrowed from it and lives as long as it.
 *  2. A call ends exactly once, with one status. What comes first decides: the server's answer, the end of
 *     the context, a cancel, the loss of the connection.
 *  3. When the context of a call ends, the server is told why, and its handler's context ends with the same
 *     cause and origin. When a handler's call ends, the handler's context ends, and with it every call made
 *     under it.
 *  4. Completion callbacks and inline handlers run on an I/O thread: they must not block, and may start,
 *     cancel and release calls. Pooled handlers (the default) may block.
 *  5. tether_client_close and tether_server_close wait for running callbacks and handlers, and so must not
 *     be called from one.
 *  6. Messages of a stream arrive in the order sent, and the status after all of them. A call that is cut (cancel,
 *     deadline, lost connection) ends at once: what was not received yet is dropped, and every blocked send and
 *     receive returns why. Being cut is never reported as the end of a stream. */
#ifndef TETHER_RPC_H
#define TETHER_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <tether/credentials.h>
#include <tether/ctx.h>
#include <tether/group.h>
#include <tether/identity.h>
#include <tether/metadata.h>
#include <tether/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_client tether_client;
typedef struct tether_server tether_server;
typedef struct tether_call tether_call;
typedef struct tether_interceptor tether_interceptor; /* tether/interceptor.h */

/* ---- Limits and options -------------------------------------------------------------------- */

/* Zero in any field means its default. */
typedef struct tether_limits {
  size_t max_message_bytes;       /* of one received message; default 4 MiB (gRPC's) */
  size_t max_metadata_bytes;      /* of one received list, counted by tether_metadata_size; default 8 KiB */
  size_t max_unpacked_bytes;      /* memory one received message may unfold into; default 4 * max_message_bytes */
  uint32_t max_streams;           /* calls in flight per connection; a server's default is 1024. A client's calls
                                     beyond the server's limit wait in the client, in order */
  size_t max_forward_bytes;       /* of forwarded values, counted alike; default 4 KiB. Beyond it they are dropped */
  size_t stream_window_bytes;     /* how much one stream may hold that was received and not read yet; default and least
                                     64 KiB. Grows to 1 MiB by itself for readers that keep up */
  size_t connection_window_bytes; /* how much more than that all streams of a connection may hold together, for long
                                     messages and grown windows; default 64 MiB, at least max_message_bytes. A server
                                     holds at most four times as much of a connection's unpacked requests, and of
                                     replies that its client does not read */
} tether_limits;

/* Noticing that a peer has vanished without a word, after gRPC's keepalive (gRFC A8), with its names and defaults. Zero
 * means the default, TETHER_FOREVER off. */
typedef struct tether_keepalive {
  int64_t time_ns;           /* after so long without anything from the peer it is asked for a sign of life; default:
                                client off, server 2 h. A client that is told "too_many_pings" doubles it */
  int64_t timeout_ns;        /* and the connection closed after so long without one; default 20 s */
  bool permit_without_calls; /* client: asks while no call is in flight too; the server must permit that */
} tether_keepalive;

/* Which of a client's addresses a call goes to. */
typedef enum tether_balancing {
  TETHER_PICK_FIRST = 0,   /* all calls to one: the first, in order, that can be connected to */
  TETHER_ROUND_ROBIN = 1,  /* to those connected in turn */
  TETHER_LEAST_OF_TWO = 2, /* to the one with fewer calls in flight of two chosen at random */
} tether_balancing;

typedef struct tether_client_options {
  tether_limits limits;
  const tether_tls *tls;           /* for tls+tcp:// and wss://; copied */
  tether_credentials *credentials; /* tokens for its calls (tether/credentials.h); NULL: none. Held by the client */
  int64_t backoff_initial_ns;      /* default 1 s; gRPC's connection back-off (doc/connection-backoff.md): */
  int64_t backoff_max_ns;          /* default 120 s; delay *= 1.6, jitter 0.2, reset by the peer's HELLO */
  int64_t connect_timeout_ns;      /* default 20 s per attempt */
  const tether_interceptor *const *interceptors; /* NULL-terminated; must outlive the client, as what it lists */
  tether_keepalive keepalive;                    /* calls on a connection that is found dead end UNAVAILABLE */
  const char *service_config;      /* JSON in gRPC's format, read during open: see "Service config" below; NULL: none */
  const char *service_config_file; /* or the path of a file with it */
  bool no_retries;                 /* no retries and no hedging by policy */
  size_t retry_call_bytes;         /* what is kept of one call to be sent again; a call that sends more is not retried
                                      any more. Default 256 KiB */
  size_t retry_bytes;              /* the same of all calls together; default 16 MiB */
  tether_balancing balancing;      /* TETHER_PICK_FIRST: what the service config says, if it does */
  bool lazy;                       /* stay IDLE until somebody wants a connection */
  int64_t idle_timeout_ns;     /* without a call for so long (looked at as often), back to IDLE: connections are closed;
                                  default 30 min (gRPC's); TETHER_FOREVER: never */
  int64_t resolve_interval_ns; /* dns targets: how often the name is looked up again; default 1 min */
  int64_t resolve_least_ns;    /* and, when a connection has failed or was lost, how long after the last time at
                                  least; default 30 s (gRPC's) */
} tether_client_options;

typedef struct tether_server_options {
  tether_limits limits;
  const tether_tls *tls;         /* for tls+tcp:// and wss://; copied */
  int max_workers;               /* threads for pooled handlers; default 64, started as needed */
  const tether_key *const *keys; /* NULL-terminated: value keys to decode from incoming calls; static */
  int64_t max_timeout_ns; /* handlers without a deadline or bound, or with a later one, get this; 0: no such bound */
  bool deadline_required; /* calls with neither a deadline nor a bound are refused: INVALID_ARGUMENT */
  const tether_interceptor *const *interceptors; /* NULL-terminated; must outlive the server, as what it lists */

  /* Connections; zero means the default, TETHER_FOREVER never. gRPC's names and defaults (gRFC A8, A9). */
  tether_keepalive keepalive;
  int64_t permit_keepalive_time_ns;    /* a client that asks for signs of life more often than this (default 5 min), and
                                          sends and receives nothing else, is told "too_many_pings" and closed */
  bool permit_keepalive_without_calls; /* it may also ask without calls; else only every two hours */
  int64_t max_connection_idle_ns;      /* drained after so long without calls; default never */
  int64_t max_connection_age_ns;       /* drained at this age, 10 % more or less at random; default never */
  int64_t max_connection_age_grace_ns; /* and its calls cut after so much more; default never */
  int64_t handshake_timeout_ns;        /* to be ready for calls; default 10 s */
  uint32_t max_connections;            /* at once; more are told so and closed; default: no limit */

  /* Overload (docs/overload.md): calls that are not taken on end RESOURCE_EXHAUSTED with cause SHED, and have run
   * nothing. */
  uint32_t max_calls;      /* at once, on all connections; default: no limit */
  bool deadline_admission; /* unary calls that, as recent ones of their method went, cannot end in time, are shed on
                              arrival or before their handler begins */
} tether_server_options;

/* Options of one call. NULL or zero fields mean the default. */
typedef struct tether_call_options {
  int64_t timeout_ns;              /* the effective deadline is the earlier of this and the context's;
                                      0: the method's default; TETHER_FOREVER: none */
  bool wait_for_ready;             /* while disconnected: wait for a connection instead of failing */
  const tether_metadata *metadata; /* sent along; copied before the function returns */
  tether_credentials *credentials; /* instead of the client's; NULL: those. Held by the call as long as needed */
  int64_t reserve_ns;  /* kept back from the deadline that the server is given, so that its answer, which says more
                          than our own giving up, arrives in time. 0: measured, half the smallest round trip and 1 ms,
                          or what such answers have needed on this connection; at most an eighth of what is left; > 0:
                          that much, at most half of what is left;  negative: none */
  int64_t detached_ns; /* > 0: the handler gets this bound of its own instead of the deadline, and goes on when
                          the caller leaves; what it then sends is dropped, and a stream of requests that is not whole
                          ends CANCELLED behind those that have come. 0: it is bound to the caller */
  bool explain;        /* bring back the ledger (tether/ledger.h) of a successful call too, and a complete one of a call
                          that was cut (tether_call_wait_ledger) */
  tether_group *group; /* makes the call a member of the group (tether/group.h): pass tether_group_ctx(group),
                          or what was derived from it, as the context. The group must outlive the call's end */
} tether_call_options;

/* ---- Methods (written by the code generator) ----------------------------------------------- */

typedef enum tether_method_flags {
  TETHER_METHOD_IDEMPOTENT = 1,        /* safe to run twice */
  TETHER_METHOD_INLINE = 2,            /* the handler runs on the I/O thread and must not block */
  TETHER_METHOD_DEADLINE_REQUIRED = 4, /* calls with neither a deadline nor a bound of their own (detached_ns) are
                                          refused on both sides: INVALID_ARGUMENT */
  TETHER_METHOD_CLIENT_STREAMING = 8,  /* any number of requests, sent with tether_call_send */
  TETHER_METHOD_SERVER_STREAMING = 16, /* any number of replies, read with tether_call_recv */
} tether_method_flags;

/* A .proto file as protoc describes it, for server reflection. Static. */
typedef struct tether_file {
  const char *name;          /* "search/v1/shard.proto" */
  const uint8_t *descriptor; /* a serialized google.protobuf.FileDescriptorProto without source_code_info */
  size_t size;
  const struct tether_file *const *imports; /* NULL-terminated: all it imports, directly or not, save what defines
                                               options (descriptor.proto and the like). NULL: nothing */
} tether_file;

/* When a call that failed is tried again, within its one deadline: gRPC's retry policy (grpc/proposal A6). */
typedef struct tether_retry_policy {
  int max_attempts;           /* in all, 2 or more; above 5 counts as 5 */
  int64_t initial_backoff_ns; /* before the n-th retry: initial * multiplier^(n - 1), at most max, times 0.8 to 1.2 */
  int64_t max_backoff_ns;
  double backoff_multiplier;
  uint32_t retryable; /* a set of codes, 1u << code each */
} tether_retry_policy;

/* One method. Static. */
typedef struct tether_method {
  const char *path; /* "/package.Service/Method" */
  const ProtobufCMessageDescriptor *request;
  const ProtobufCMessageDescriptor *reply;
  int64_t default_timeout_ns; /* 0: none */
  unsigned flags;
  const tether_file *file;          /* where it is defined; NULL: not known */
  const tether_retry_policy *retry; /* where the client's service config has no policy for the method; NULL: none */
} tether_method;

/* A handler in untyped form: `service` is the typed table given to register, `data` its user data. request is NULL
 * where the client streams, reply where the server does. */
typedef tether_code (*tether_handler_fn)(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                                         ProtobufCMessage *reply, const void *service, void *data);

/* A method as served. handler NULL: UNIMPLEMENTED. */
typedef struct tether_served_method {
  const tether_method *method;
  tether_handler_fn handler;
} tether_served_method;

/* ---- Service config ------------------------------------------------------------------------ */

/* tether_client_options.service_config says how calls of a client behave, in gRPC's format (grpc/grpc
 * doc/service_config.md), so that one file serves clients in all languages:
 *
 *   {"methodConfig": [{"name": [{"service": "demo.v1.Greeter", "method": "SayHello"}, {"service": "demo.v1.Other"}],
 *      "timeout": "1.5s", "waitForReady": true, "maxRequestMessageBytes": 65536, "maxResponseMessageBytes": 65536,
 *      "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
 *        "retryableStatusCodes": ["UNAVAILABLE"]}}],
 *    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}}
 *
 *  - Of the methodConfigs the one counts that names the method, else the one that names its service, else the one with
 *    the name {}. The effective deadline is the earliest of its timeout, the call's and the context's; the method's
 *    default timeout and retry policy (tether/options.proto) count where it has none. waitForReady is or-ed with the
 *    call's option. A message that is larger than it allows ends the call, or is not sent, RESOURCE_EXHAUSTED.
 *  - retryPolicy: a call whose attempt failed with one of the codes, at the server or for want of a connection, is
 * tried again, after a back-off, within its one deadline: the same tether_call, which ends once. It is not if anything
 * of an answer came (initial metadata, a message), if more was sent than is kept, or if the server's trailers have
 *    grpc-retry-pushback-ms: -1 (a number of ms there is the back-off). Handlers see how many attempts came before as
 *    metadata grpc-previous-rpc-attempts. Streams are retried as unary calls are; what had been sent is sent again.
 *  - hedgingPolicy (maxAttempts, hedgingDelay, nonFatalStatusCodes) instead: see tether/hedge.h. It is for unary
 * methods that are declared idempotent; others are called once.
 *  - retryThrottling: each failure with a code of the policy takes a token, each success brings tokenRatio back; with
 *    half of them gone nothing is retried or hedged.
 *  - loadBalancingConfig (or loadBalancingPolicy): pick_first, round_robin or least_request, of which the first known
 * one counts: tether_client_options.balancing, unless the program chose another than the default there.
 *
 * A config with a mistake is refused as a whole (TETHER_INVALID_ARGUMENT from open, and a line on standard error that
 * says where, what and what is allowed). Members that nobody knows are ignored, as in gRPC; the first is named there.
 */

/* ---- Client -------------------------------------------------------------------------------- */

/* Makes a client of `target`: an address, or several with commas between them. An address is one of ipc:///path,
 * tcp://host:port, tls+tcp://host:port, ws://host:port/path. Or dns:///name:port, or dns+tls:///name:port: all
 * addresses of the name, looked up again as the options say; those that come are connected to, those that go are
 * drained; a certificate must be for the name (tether_tls.server_name: for that one). Returns at once and connects in
 * the background, to one address or all as the policy says, each with a back-off of its own; reconnects for as long as
 * it is open and in use. A call that a server has certainly not accepted, because it drains, dies or is full, goes to
 * another connection by itself; only the address it was accepted at can fail it (docs/protocol.md, "Not accepted").
 * TETHER_INVALID_ARGUMENT: a target, TLS option or service config that cannot work (the reason goes to standard error).
 * TETHER_RESOURCE_EXHAUSTED: no memory. Any thread may use a client. `options` may be NULL. */
TETHER_API TETHER_MUST_USE tether_code tether_client_open(const char *target, const tether_client_options *options,
                                                          tether_client **client);

/* Ends every call in flight with TETHER_CANCELLED, waits for their callbacks, closes the connections. */
TETHER_API void tether_client_close(tether_client *client);

/* As gRPC's (doc/connectivity-semantics-and-api.md), of all addresses together. */
typedef enum tether_connectivity {
  TETHER_IDLE = 0, /* no connection, and nobody wants one: a call, tether_client_connect or a wait for READY does */
  TETHER_CONNECTING = 1, /* calls wait */
  TETHER_READY = 2,      /* one address at least is connected */
  TETHER_TRANSIENT_FAILURE =
      3, /* all addresses have failed; stays until one is connected. Calls fail, unless wait_for_ready */
  TETHER_SHUTDOWN = 4,
} tether_connectivity;

/* The state now. A call that failed because its connection was lost or is being left finds the state changed already:
 * a wait for READY after it waits for the next connection. */
TETHER_API tether_connectivity tether_client_connectivity(tether_client *client);

/* Waits until the state is another than `from`. TETHER_OK: *now is the state; TETHER_SHUTDOWN once it is being closed.
 * Else tether_ctx_err(ctx). A change there and back may be missed. */
TETHER_API TETHER_MUST_USE tether_code tether_client_wait_change(tether_client *client, const tether_ctx *ctx,
                                                                 tether_connectivity from, tether_connectivity *now);

/* Leaves IDLE, if the client is in it. Does not block. */
TETHER_API void tether_client_connect(tether_client *client);

/* Waits until the client is READY: TETHER_OK; else tether_ctx_err(ctx), or TETHER_CANCELLED once closed. Leaves IDLE.
 */
TETHER_API TETHER_MUST_USE tether_code tether_client_wait_ready(tether_client *client, const tether_ctx *ctx);

/* Called once when the call has ended, on an I/O thread, a timer thread or the thread that cancelled; also
 * before tether_call_start returns when the call fails at once. No lock is held. */
typedef void (*tether_call_done_fn)(tether_call *call, void *data);

/* A unary call, blocking until it has ended. Never NULL: without memory the result is a call that ended with
 * TETHER_RESOURCE_EXHAUSTED. Read it with tether_call_code and the readers below; release it with
 * tether_call_unref. `request` must be of the method's request type; it is packed before the function returns.
 * The call ends at the latest when ctx does. */
TETHER_API TETHER_MUST_USE tether_call *tether_call_unary(tether_client *client, const tether_ctx *ctx,
                                                          const tether_method *method, const ProtobufCMessage *request,
                                                          const tether_call_options *options);

/* Starts a call of any kind without blocking: `done` (may be NULL) is called when the call has ended. The reference
 * returned is the caller's; the callback's `call` is borrowed. Never NULL. `request` must be NULL if the client
 * streams, see "Streams" below. */
TETHER_API TETHER_MUST_USE tether_call *tether_call_start(tether_client *client, const tether_ctx *ctx,
                                                          const tether_method *method, const ProtobufCMessage *request,
                                                          const tether_call_options *options, tether_call_done_fn done,
                                                          void *data);

/* Waits until the call has ended (its own context bounds that). Not from a callback. Returns its code. */
TETHER_API tether_code tether_call_wait(tether_call *call);

/* Ends the call with TETHER_CANCELLED and tells the server; NULL cause: tether_cause_canceled. Idempotent;
 * nothing happens to a call that has ended. One whose deadline has passed already ends with TETHER_DEADLINE_EXCEEDED.
 * Does not wait for the network. Client side. */
TETHER_API void tether_call_cancel(tether_call *call, const tether_cause *cause);

/* Cancels, and waits at most timeout_ns of real time until the server has answered, which it does when its handler has
 * stopped and the handlers below it have too, or could not be waited for any longer. Blocks; not from a callback.
 * TETHER_OK: it has; *running is how many handlers below still ran, 0 for a tree that stopped entirely, or a call that
 *   was never sent or had ended.
 * TETHER_DEADLINE_EXCEEDED: it has not in this time. TETHER_UNAVAILABLE: the connection was lost first.
 * TETHER_FAILED_PRECONDITION: not a client's call. */
TETHER_API TETHER_MUST_USE tether_code tether_call_cancel_and_wait(tether_call *call, const tether_cause *cause,
                                                                   int64_t timeout_ns, uint32_t *running);

/* ---- What a call ended with (either side, after its end) ----------------------------------- */

/* The status code; only meaningful once the call has ended. */
TETHER_API tether_code tether_call_code(const tether_call *call);

/* The status message, UTF-8, "" if none. */
TETHER_API const char *tether_call_message(const tether_call *call);

/* How often the call left this process, and was not refused as not accepted: more than once if it was retried, 0 if it
 * never did. Client side. */
TETHER_API unsigned tether_call_attempts(const tether_call *call);

/* Why a call was cut: the cause its context ended with, or the one the server sent; NULL if it was not. A handler that
 * passes a failure on passes this on with tether_call_set_cause. */
TETHER_API const tether_cause *tether_call_cause(const tether_call *call);

/* The reply, NULL unless the code is TETHER_OK, and where the server streams. */
TETHER_API const ProtobufCMessage *tether_call_reply(const tether_call *call);

/* What the server sent before and after the reply; NULL or empty if nothing. A failing call that sent no
 * initial metadata before has everything in the trailers (gRPC's Trailers-Only). */
TETHER_API const tether_metadata *tether_call_initial_metadata(const tether_call *call);
TETHER_API const tether_metadata *tether_call_trailers(const tether_call *call);

/* ---- Streams (either side) ----------------------------------------------------------------- */

/* A client sends requests and receives replies, a handler receives requests and sends replies; which of these there
 * are any number of, the method's flags say. One thread may send while another receives; two senders, or two
 * receivers, are serialised by the caller. Blocking forms must not be used on I/O threads (rule 4). */

/* Sends one message; it is packed before the function returns. Blocks while the peer's windows and 64 KiB of
 * queued messages are full.
 * TETHER_OK: it is on its way, or queued behind others; that does not mean that anybody read it.
 * TETHER_FAILED_PRECONDITION: the method does not stream this way, sending was closed, or the call has ended with
 *   TETHER_OK (a server may answer before it has read everything).
 * TETHER_RESOURCE_EXHAUSTED: larger than the peer takes, or no memory; this message was not sent, the call goes on.
 * Anything else: the call has ended (client), or its context has (handler), with this code. */
TETHER_API TETHER_MUST_USE tether_code tether_call_send(tether_call *call, const ProtobufCMessage *message);

/* Client: no more requests (half-close). Idempotent; never blocks. Not a cancel: replies may go on for ever. */
TETHER_API void tether_call_close_send(tether_call *call);

/* Receives the next message; blocks until there is one. It is borrowed until the next receive on this call, or the
 * call's release.
 * TETHER_OK and a message; or TETHER_OK and NULL: the peer has sent all its messages (client: and the call ended
 *   with TETHER_OK).
 * TETHER_FAILED_PRECONDITION: the method does not stream this way.
 * TETHER_INTERNAL, TETHER_RESOURCE_EXHAUSTED: a message that does not parse or is too large; nothing more comes. A
 *   client's call has ended with it, unless the server's status came before. A handler returns the code as its own:
 *   the status message is set.
 * Anything else: the call has ended (client), or its context has (handler), with this code. */
TETHER_API TETHER_MUST_USE tether_code tether_call_recv(tether_call *call, const ProtobufCMessage **message);

/* Handler: sends the initial metadata now, instead of with the first reply or the end. Errors as tether_call_send;
 * TETHER_FAILED_PRECONDITION also if it has been sent. */
TETHER_API TETHER_MUST_USE tether_code tether_call_send_initial(tether_call *call);

/* Client: waits until the initial metadata is known: sent by the server, or implied by its first message or by an OK
 * end. TETHER_OK: read it with tether_call_initial_metadata. Else the code of a call that ended before. */
TETHER_API TETHER_MUST_USE tether_code tether_call_wait_initial(tether_call *call);

/* The same without blocking. *done is whether it was done (a message sent, a message or the end received, the code
 * returned final); when it was not, `ready` will be called once, as soon as trying again makes sense. */
TETHER_API TETHER_MUST_USE tether_code tether_call_try_send(tether_call *call, const ProtobufCMessage *message,
                                                            bool *done);
TETHER_API TETHER_MUST_USE tether_code tether_call_try_recv(tether_call *call, const ProtobufCMessage **message,
                                                            bool *done);

typedef enum tether_ready_for {
  TETHER_CAN_RECV = 1,
  TETHER_CAN_SEND = 2,
  TETHER_HAS_INITIAL = 4, /* client: told once, without being asked */
} tether_ready_for;

/* Called without locks on an I/O thread, a timer thread or the thread that cancelled; must not block; may try, cancel
 * and release. Calls for different reasons may overlap. */
typedef void (*tether_call_ready_fn)(tether_call *call, tether_ready_for what, void *data);

/* Sets what is called; before the first try, once. Client: what has come before is told at once, from inside. The
 * caller must hold a reference to the call until it has ended and the callback has run. */
TETHER_API void tether_call_on_ready(tether_call *call, tether_call_ready_fn ready, void *data);

/* ---- Sharing ------------------------------------------------------------------------------- */

/* Shares a call; each ref needs one unref. ref returns its argument; unref takes NULL. */
TETHER_API tether_call *tether_call_ref(tether_call *call);
TETHER_API void tether_call_unref(tether_call *call);
static inline void tether_call_unrefp(tether_call **call) { tether_call_unref(*call); }
#define TETHER_SCOPED_CALL TETHER_CLEANUP(tether_call_unrefp)

/* ---- Counters ------------------------------------------------------------------------------ */

/* Client and server record the same status for the same call (docs/protocol.md, "Verdict"). */
typedef struct tether_client_stats {
  uint64_t ended[TETHER_CODES]; /* calls that were sent, by their status; of a call that is retried each attempt */
  uint64_t unsent;              /* calls, or attempts, that never left, or that the server has not accepted */
  uint64_t retries;             /* of `ended`, the attempts before which another of their call had left; so neither one
                                   that was cut in its back-off nor one that found no connection */
  uint64_t throttled;           /* failures that were not retried for want of tokens */
} tether_client_stats;
TETHER_API void tether_client_get_stats(tether_client *client, tether_client_stats *stats);

typedef struct tether_server_stats {
  uint64_t ended[TETHER_CODES]; /* calls, by their status; only for the whole server */
  uint64_t unaccepted;          /* in none of these: calls sent after GOAWAY, or beyond limits.max_streams, which their
                                   client may send elsewhere; only for the whole server */
  uint64_t started;             /* handlers */
  uint32_t running;             /* of them, now */
  int64_t wasted_ns;            /* time handlers worked on after their context had ended */
  uint64_t sheds;               /* calls that were not taken on: max_calls, deadline_admission */
  uint32_t connections;         /* now; only for the whole server */
} tether_server_stats;

/* Of one method, or of the whole server if `path` is NULL. TETHER_NOT_FOUND: no such method. */
TETHER_API TETHER_MUST_USE tether_code tether_server_get_stats(tether_server *server, const char *path,
                                                               tether_server_stats *stats);

/* ---- Server -------------------------------------------------------------------------------- */

/* A server without listeners. TETHER_INVALID_ARGUMENT: TLS options that cannot work (the reason goes to standard
 * error). TETHER_RESOURCE_EXHAUSTED: no memory or thread. `options` may be NULL. */
TETHER_API TETHER_MUST_USE tether_code tether_server_open(const tether_server_options *options, tether_server **server);

/* Adds methods; `methods` and `service` must outlive the server. Before the first listen.
 * TETHER_ALREADY_EXISTS: a path is served already. TETHER_FAILED_PRECONDITION: already listening. */
TETHER_API TETHER_MUST_USE tether_code tether_server_add(tether_server *server, const tether_served_method *methods,
                                                         size_t count, const void *service, void *data);

/* The methods served, in the order of their paths; NULL past the last. Any thread once the server listens. */
TETHER_API const tether_method *tether_server_method(const tether_server *server, size_t index);

/* Who wants to know that a shutdown begins. */
typedef struct tether_drain_hook {
  void (*fn)(void *data);
  void *data;
  struct tether_drain_hook *next; /* the server's */
} tether_drain_hook;

/* Has hook->fn called when a shutdown begins, while the listeners are still there: on the thread that calls
 * tether_server_shutdown or tether_server_close, without locks, once; never if that has begun already. It must not
 * block. The hook must outlive the server. Any thread; never fails. */
TETHER_API void tether_server_on_drain(tether_server *server, tether_drain_hook *hook);

/* Listens on `url` (as tether_client_open; tcp://127.0.0.1:0 picks a port). May be called for several URLs. A
 * socket file left by a dead process is replaced; one with a live server is not.
 * TETHER_INVALID_ARGUMENT: bad URL, or one of TLS and no TLS options. TETHER_UNAVAILABLE: the address cannot be bound.
 * The reason goes to standard error. */
TETHER_API TETHER_MUST_USE tether_code tether_server_listen(tether_server *server, const char *url);

/* The TCP port of the first tcp, tls+tcp or ws listener; 0 if none. */
TETHER_API uint16_t tether_server_port(const tether_server *server);

/* Drains the server: calls what tether_server_on_drain was given, stops listening, asks clients to open no more calls
 * here (GOAWAY), accepts those that were on their way, lets accepted calls finish for at most `grace_ns` of real time
 * in all, then cancels the rest with cause SHUTDOWN (they end UNAVAILABLE at the client). Calls that were not accepted
 * end UNAVAILABLE too and have run nothing. With a grace of 0 calls on their way are not accepted. Returns when every
 * handler has returned. */
TETHER_API void tether_server_shutdown(tether_server *server, int64_t grace_ns);

/* tether_server_shutdown(server, 0), then releases the server. Takes NULL. */
TETHER_API void tether_server_close(tether_server *server);

/* ---- Inside a handler ---------------------------------------------------------------------- */

/* A handler gets the call's context, the request, and an initialised reply to fill in, and returns the status (where
 * the client or the server streams it is started with the call's headers, and uses "Streams" instead of the request or
 * the reply). On TETHER_OK the reply is sent. What the reply points to must live until the call is released: take it
 * from tether_call_alloc and friends, or point into the request. Its context ends when the call does. */

/* Sets the status message and returns `code`: `return tether_call_fail(call, TETHER_NOT_FOUND, "no %s", x);`
 * TETHER_OK or a number outside the enum becomes TETHER_UNKNOWN. Also for interceptors that refuse a call, on both
 * sides. */
TETHER_API TETHER_MUST_USE tether_code tether_call_fail(tether_call *call, tether_code code, const char *format, ...)
    TETHER_PRINTF(3, 4);

/* Sets the cause that the caller is told if the handler fails the call: what a call below gave (tether_call_cause), so
 * that code, origin and text of where it began arrive unchanged, or one of its own. It is referenced; NULL takes it
 * back. Nothing comes of it if the call ends OK; if its context has ended, that one's cause is told. In the handler. */
TETHER_API void tether_call_set_cause(tether_call *call, const tether_cause *cause);

/* Memory that lives as long as the call; zeroed, aligned for any type. NULL without memory. Safe from any
 * thread until the call ends. */
TETHER_API TETHER_MUST_USE void *tether_call_alloc(tether_call *call, size_t size);
TETHER_API TETHER_MUST_USE char *tether_call_strdup(tether_call *call, const char *text);
TETHER_API TETHER_MUST_USE char *tether_call_printf(tether_call *call, const char *format, ...) TETHER_PRINTF(2, 3);

/* What the client sent along. */
TETHER_API const tether_metadata *tether_call_metadata(const tether_call *call);

/* Appends to what goes back before the reply / after it. Errors as tether_metadata_add (a key that ends in
 * "-bin" takes any bytes); TETHER_FAILED_PRECONDITION once it has been sent. `len` counts value's bytes. */
TETHER_API TETHER_MUST_USE tether_code tether_call_add_initial(tether_call *call, const char *key, const void *value,
                                                               size_t len);
TETHER_API TETHER_MUST_USE tether_code tether_call_add_trailer(tether_call *call, const char *key, const void *value,
                                                               size_t len);

/* The call's context (a server call's, or what a client call runs under). Borrowed. */
TETHER_API const tether_ctx *tether_call_ctx(const tether_call *call);

/* The method's path and the peer's address, for logs. */
TETHER_API const char *tether_call_path(const tether_call *call);
TETHER_API const char *tether_call_peer(const tether_call *call);

/* Replying later: after tether_call_defer the handler's return value is ignored, and the call, its request and
 * reply stay valid until tether_call_finish, which some thread must call exactly once. It sends the reply and
 * ends the call's context. Returns the reply to fill in, NULL if the server streams. */
TETHER_API ProtobufCMessage *tether_call_defer(tether_call *call);
TETHER_API void tether_call_finish(tether_call *call, tether_code code);

#ifdef __cplusplus
}
#endif
#endif
