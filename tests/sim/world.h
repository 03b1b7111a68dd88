/* tests/sim/world.h: the simulated cluster, as its parts share it. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <tether/ledger.h>

#include "rpc/retrying.h"
#include "rpc/server.h"
#include "rpc/session_impl.h"
#include "testing.pb-c.h"
#include "tests/sim/chance.h"
#include "tests/sim/sim.h"
#include "tests/support/link_mem.h"

#define SIM_PROCESSES 8
#define SIM_CALLS 96
#define SIM_CALL_KEY "x-call"
#define SIM_CROSSING_NS (50 * TETHER_US)

typedef struct sim_call sim_call;
typedef struct sim_process sim_process;

/* ---- Connections (transport.c, wire.c) ------------------------------------------------------ */

/* One direction of a stream: costs of messages, and credit beyond the first window. */
struct sim_way {
  uint64_t left, arrived; /* from the sender, at the receiver */
  uint64_t credited;      /* WINDOW, at the sender */
  bool ended;             /* END has left */
};

/* A stream on the wire, as its frames show it. */
typedef struct sim_stream {
  sim_call *call;
  struct sim_way way[2]; /* by the sender's role */
  bool cancelled;        /* CANCEL has left */
  bool dropped;          /* not accepted: the call goes elsewhere */
  bool answered[2];      /* TRAILERS have left; have arrived */
} sim_stream;

/* One end of a connection. */
typedef struct sim_end {
  struct sim_wire *wire;
  tth_role role;
  sim_process *process;
  tth_link *link;
  tth_session *session;                       /* NULL before the first batch and once closed */
  int64_t delay_ns, jitter_ns, this_delay_ns; /* of what it sends; of the batch that is being sent */
  uint64_t first_window;                      /* what its HELLO says */
  bool started, sending, closed, held;        /* held: what it sends */
  bool stops;                                 /* whoever sent the last batch may stop behind it */
} sim_end;

typedef struct sim_wire {
  struct sim_wire *next;
  int number;
  sim_end ends[2]; /* by role */
  sim_stream *streams;
  size_t stream_count;           /* ids 1 to that */
  int64_t free_at_ns;            /* nothing has been held since */
  size_t answers, trips;         /* PONGs that the client has; of them, with a round trip */
  int64_t error_ns, error_at_ns; /* what its estimate of the server's clock was wrong by at most then */
  bool doomed;                   /* the simulator has broken or closed it, or one of its ends */
  bool ghost;                    /* one end is gone and the other does not know */
  int running;                   /* handlers */
} sim_wire;

/* ---- Processes (process.c) ------------------------------------------------------------------ */

struct sim_process {
  int index, tier; /* the tier it serves in; clients are of whole tiers */
  char name[4];
  bool dead, dropped; /* dropped: its memory too */
  bool busy;          /* closing something, which takes steps */
  int life, served;   /* how often it was restarted; had another server */
  tether_server *server;
  uint32_t max_streams;
  int64_t max_timeout_ns; /* of handlers; 0: no bound */
  tether_executor pool;   /* of pooled handlers */
  tether_task *first_task, **last_task;
  struct {
    bool trouble; /* a connection or an attempt has failed */
    bool cut;     /* by a partition: nothing goes there */
  } peers[SIM_PROCESSES];
  tether_client *clients[SIM_PROCESSES]; /* by tier */
  int64_t skew_ns;                       /* of its clock */
  int64_t drift_ppm;
  bool stopping; /* a shutdown has begun */
  uint64_t handlers_begun;
};

/* ---- Calls (call.c, handler.c, stream.c) ---------------------------------------------------- */

typedef enum sim_kind { SIM_UNARY, SIM_UP, SIM_DOWN, SIM_BOTH, SIM_KINDS } sim_kind;

/* What the cancel of a call is aimed at, if at anything. */
typedef enum sim_aim { SIM_NOTHING, SIM_ANSWER, SIM_RETURN } sim_aim;

/* What a handler does when its context ends. */
typedef enum sim_manner { SIM_AT_ONCE, SIM_SOON, SIM_SLOWLY, SIM_NEVER } sim_manner;

/* One side of a call as far as it streams. */
typedef struct sim_side {
  sim_call *call;
  bool client;
  uint32_t to_send, sent, received;
  int64_t pace_ns; /* between two turns, at most */
  bool receives, send_over, recv_over, send_waits, recv_waits, turning;
  uint64_t read_cost; /* of what was received, on the wire */
} sim_side;

struct sim_call {
  int number, depth;
  sim_call *parent, *root;
  sim_process *from;
  int tier;              /* that it calls, */
  sim_process *to;       /* and who of it has it, as long as it is on the wire */
  int from_life, served; /* which server of `to` it was */
  sim_kind kind;
  uint64_t chance_seed;
  sim_chance chance; /* its own: its plan does not depend on others */

  /* the client's side */
  tether_call *call;
  tether_client *client;
  tether_ctx *own;         /* root: what it runs under */
  const tether_ctx *under; /* the caller's context, held */
  int64_t started_ns, deadline_ns, ended_ns;
  int64_t detached_ns, reserve_ns;
  bool ended, patient, pooled, explain, client_closed, changed;
  uint32_t body_bytes;
  uintptr_t hop_value; /* goes one hop; 0: none */
  sim_aim aimed_at;
  tether_call *ending; /* while it ends */
  tether_code code;
  tether_cause *why;
  tether_cause *cancel_why; /* what the simulator cancelled it with */
  int64_t cancelled_ns;     /* when it did, or was too late to */
  int64_t wait_ns;          /* the cancel waits for the tree below */

  /* attempts before the one that the rest of this is about; each was answered ABORTED */
  int retried, retried_served[4]; /* which servers had them, */
  sim_process *retried_to[4];     /* of whom */
  bool between;                   /* it ended between two attempts */

  /* on the wire */
  sim_wire *wire;                         /* NULL: it has not left */
  sim_process *given_back;                /* by whom, who had not accepted it; NULL: by nobody */
  int64_t left_ns, budget_ns, arrived_ns; /* HEADERS: when, with how much time */
  int64_t estimate_ns, error_ns;          /* of the server's clock in them, INT64_MIN: none; what it is wrong by */
  bool trailers_left, trailers_arrived;
  bool unaccepted; /* the client has read that, and could not send it elsewhere */
  int64_t trailers_left_ns, trailers_arrived_ns;
  uint64_t cancel_step;       /* in which CANCEL arrived; 0: it has not */
  bool stopped;               /* told to the caller: nothing may begin any more */
  tether_code told, recorded; /* by TRAILERS; at the server, verdict included */

  /* the handler's side */
  tether_call *server_call;
  const tether_ctx *ctx;
  tether_after after;
  tether_group *group; /* of its calls */
  tether_ctx *scope;   /* of its calls */
  bool group_closed;
  int64_t began_ns, finished_ns, server_deadline_ns;
  bool begun, deferred, returning, finished, cut;
  bool returned_alone;    /* not from inside a callback */
  bool hasty, one_by_one; /* returns before its calls have ended; makes them one after the other */
  tether_code server_code;
  tether_cause *cut_why;
  int children, children_ended, children_wanted;
  sim_manner manner;
  tether_code outcome;
  int64_t work_ns;
  bool aims; /* to answer at the caller's deadline */

  sim_side client_side, server_side;
};

/* ---- The world (world.c) -------------------------------------------------------------------- */

typedef struct sim_event {
  int64_t at_ns;
  uint64_t rank;
  void (*run)(void *data, uint64_t number);
  void *data;
  uint64_t number;
} sim_event;

/* What may go wrong in this seed. */
typedef struct sim_faults {
  bool partitions, breaks, deaths, shutdowns, closes;
} sim_faults;

typedef struct sim_world {
  uint64_t seed;
  sim_chance chance;
  sim_faults faults;
  FILE *trace;
  sim_report *report;
  sim_totals *totals;
  bool running; /* false: blocking calls block */
  uint64_t steps;

  tst_mem_net *net;
  int64_t now_ns, begun_ns;
  int64_t timer_ns, timer_run_ns, timer_slack_ns; /* next armed; when it is looked after */
  sim_event *events;                              /* a heap */
  size_t event_count, event_room;
  uint64_t events_made;

  sim_process processes[SIM_PROCESSES];
  int process_count, tier_count;
  bool tiered;          /* tiers are of up to three processes; else each is of one */
  sim_process *current; /* whose code runs; NULL: a timer's */
  sim_wire *wires;
  int wire_count;
  bool ring;  /* most calls go to the next process */
  bool close; /* most calls have their answer meet their deadline or a cancel */
  int64_t least_delay_ns, most_delay_ns;
  int64_t heal_ns; /* the partition's end; 0: there is none */
  struct sim_dialer *dialers;

  sim_call calls[SIM_CALLS];
  int call_count, call_most;
  struct {
    uint64_t begun, ended;
  } watched[2];                 /* calls of clients, of servers (watcher.c) */
  sim_call *changed[SIM_CALLS]; /* to be looked at after the step */
  int changed_count;
  int64_t end_ns; /* nothing new begins and nothing fails from here on */
  bool draining, circle;
  int closings;       /* closes and shutdowns under way, each inside the one before */
  bool stops;         /* a thread of its own runs, which others may overtake */
  sim_call *starting; /* it has not begun */
  int stopped;        /* such threads, each inside the one before */
} sim_world;

extern sim_world *sim;

/* Runs the code of a process from here on: names and origins are its. NULL: of none. */
void sim_enter(sim_process *process);

/* Calls run(data, number) in `delay_ns`. */
void sim_later(int64_t delay_ns, void (*run)(void *data, uint64_t number), void *data, uint64_t number);

/* One step, which does not go beyond `until_ns`; false: time has come there. */
bool sim_step(int64_t until_ns);

/* The thread that runs this code of a process may stop here for a while, and everything else goes on. */
void sim_may_stop(sim_process *process);

/* Says what is wrong and ends the process. */
_Noreturn void sim_wrong(const sim_call *call, const char *format, ...) TETHER_PRINTF(2, 3);

/* A line of the trace; `call` and `process` may be NULL. */
#define sim_trace(process, call, ...)                           \
  do {                                                          \
    if (sim->trace) sim_trace_line(process, call, __VA_ARGS__); \
  } while (0)
void sim_trace_line(const sim_process *process, const sim_call *call, const char *format, ...) TETHER_PRINTF(3, 4);

/* ---- chance.h's, of the world ---- */

static inline bool sim_may(uint32_t percent) { return sim_percent(&sim->chance, percent); }

/* ---- transport.c ---------------------------------------------------------------------------- */

extern const tth_transport sim_transport;

/* After a step: finds the sessions of new connections. */
void sim_wires_settle(void);

/* Both directions between two processes open or close as the partitions say. */
void sim_wires_hold(void);

/* The connection breaks for both ends; for one, and the other hears nothing; one end closes it. */
void sim_wire_break(sim_wire *wire);
void sim_wire_vanish(sim_wire *wire, tth_role gone);
void sim_wire_close(sim_wire *wire, tth_role by);
bool sim_wire_is_live(const sim_wire *wire);

/* Frees what the wires and dialers took, at the end. */
void sim_transport_free(void);

/* ---- wire.c --------------------------------------------------------------------------------- */

extern const tst_mem_watch sim_wire_watch;

/* Until when what leaves now, in either direction, has arrived. */
int64_t sim_wire_bound_ns(const sim_wire *wire);

/* ---- process.c ------------------------------------------------------------------------------ */

void sim_process_init(int index);
void sim_process_open(sim_process *process);

/* Closes everything that a process has. */
void sim_process_close(sim_process *process);

/* The client of `from` for a tier: for all in it but itself. */
tether_client *sim_process_client(sim_process *from, int tier);

/* Whether all connections and attempts of `from` to a tier have failed at some time; whether any has. */
bool sim_tier_has_failed(const sim_process *from, int tier);
bool sim_tier_has_trouble(const sim_process *from, int tier);

/* The kinds of things that go wrong, at random until the end. */
void sim_faults_plan(void);

/* Everything that went wrong is mended. */
void sim_faults_mend(void);

/* ---- call.c --------------------------------------------------------------------------------- */

extern const tether_key sim_key_all, sim_key_hop, sim_key_local, sim_key_secret;
extern const tether_key *const sim_keys[];

/* The methods, by kind; pooled or inline. */
extern const tether_method sim_methods[2][SIM_KINDS];

/* A service config that has some unary calls tried again, written to `text`; NULL: none. */
const char *sim_call_policy(sim_chance *chance, char *text, size_t size);

/* Starts a call of this handler (NULL: a root), to the tier of `to` (NULL: to any), if there is room for more. */
sim_call *sim_call_start(sim_call *parent, const sim_process *to);

void sim_call_cancel_later(sim_call *call, int64_t delay_ns);

/* The last attempt is over, and was not the last after all. */
void sim_call_attempt_over(sim_call *call);

/* A call is to be looked at after this step. */
void sim_call_changed(sim_call *call);

/* Whether nothing is left to happen to it. */
bool sim_call_is_over(const sim_call *call);

/* Gives up what the call's record holds. */
void sim_call_release(sim_call *call);

/* A copy: the origin of a static cause is that of whoever asks. */
tether_cause *sim_keep_cause(const tether_cause *cause);
bool sim_same_cause(const tether_cause *a, const tether_cause *b);

/* ---- handler.c ------------------------------------------------------------------------------ */

tether_code sim_handle(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                       ProtobufCMessage *reply, const void *service, void *data);

/* One of its calls has ended. */
void sim_handler_child_ended(sim_call *call, sim_call *child);

/* Its streaming is done. */
void sim_handler_streamed(sim_call *call);

/* One that would never return does soon. */
void sim_handler_give_up(sim_call *call);

/* Ends it now. */
void sim_handler_finish(sim_call *call, tether_code code);

/* ---- stream.c ------------------------------------------------------------------------------- */

/* Begins to stream, at one side. */
void sim_stream_begin(sim_call *call, bool client);
bool sim_stream_is_over(const sim_side *side);

/* Bytes of the call's request or reply, or of a message. */
ProtobufCBinaryData sim_body(const sim_call *call, bool up, uint32_t index);

/* ---- check.c -------------------------------------------------------------------------------- */

void sim_check_step(void);
void sim_check_end(void);

/* The interceptors of every client and server; what they have seen must hold when all is closed. */
extern const tether_interceptor *const sim_watchers[];
void sim_check_watched(void);

/* Promise 1: until the path has been free for long enough, the handler must have heard of the call's end. */
void sim_check_stop(void *data, uint64_t number);

#endif
