/* rpc/recorder.h: what a server call notes of the calls its handler makes: the rows of its ledger, and how many of them
 * have not been answered.
 *
 * A recorder travels as a value of the handler's context; a client call that starts under such a context finds it there
 * and tells it of its end. It outlives the server call for as long as somebody holds the context or a call. */
#ifndef TETHER_RPC_RECORDER_H
#define TETHER_RPC_RECORDER_H

#include <tether/ledger.h>

#include "tether/v1/frames.pb-c.h"

typedef struct tth_recorder tth_recorder;

/* Rows kept of one handler's calls; failed ones are preferred. */
#define TTH_RECORDER_LEGS 16

/* What a ledger may take of TRAILERS. */
#define TTH_LEDGER_MOST ((size_t)8 * 1024)

/* How deep a ledger is read: calls below are only counted. */
#define TTH_LEDGER_DEPTH 32

/* How long the answer to a call that was cut, and is to be explained, may wait for those of the calls below it. */
#define TTH_EXPLAIN_WAIT_MOST (1 * TETHER_SEC)

/* Without memory NULL, which every function here takes: nothing is noted. `explain`: the call wants a ledger in any
 * case, and waits `explain_wait_ns` for it once it has been cut. */
TETHER_MUST_USE tth_recorder *tth_recorder_new(bool explain, int64_t explain_wait_ns);
tth_recorder *tth_recorder_ref(tth_recorder *recorder);
void tth_recorder_unref(tth_recorder *recorder);

/* A context with the recorder, which it refers to; takes the reference of `ctx`. Without memory `ctx` itself. */
TETHER_MUST_USE const tether_ctx *tth_recorder_attach(const tether_ctx *ctx, tth_recorder *recorder);

/* The recorder of a context, referenced; NULL if there is none. */
TETHER_MUST_USE tth_recorder *tth_recorder_of(const tether_ctx *ctx);

/* Whether the call wants a ledger in any case; how long its answer may wait for those of the calls below it, and how
 * long these may wait for theirs: less, so that they come in time. */
bool tth_recorder_explains(const tth_recorder *recorder);
int64_t tth_recorder_explain_wait_ns(const tth_recorder *recorder);
int64_t tth_recorder_wait_below_ns(const tth_recorder *recorder);

/* The handler starts. */
void tth_recorder_start(tth_recorder *recorder, int64_t now_ns);

/* A call left under the recorder's context; its stream is gone (answered, or lost), with so many handlers still running
 * below it. */
void tth_recorder_call_opened(tth_recorder *recorder);
void tth_recorder_call_closed(tth_recorder *recorder, uint32_t running);

/* One call ended. The row is copied; its started_ns is the time of its start. Returns the row's number. */
unsigned tth_recorder_call_ended(tth_recorder *recorder, const Tether__V1__Leg *ended);

/* The server of a call that had ended without its answer told its Hop after all. Before tth_recorder_call_closed. */
void tth_recorder_call_explained(tth_recorder *recorder, unsigned row, const ProtobufCBinaryData *hop);

/* How many handlers below have not stopped, as far as is known. */
uint32_t tth_recorder_running(tth_recorder *recorder);

/* Calls fn(data) once, when no call below is open or when stopped by the deadline (tth_recorder_give_up); at once if
 * there is none. */
void tth_recorder_when_closed(tth_recorder *recorder, void (*fn)(void *data), void *data);
void tth_recorder_give_up(tth_recorder *recorder);

/* Until when a cancel waits for the tree below; 0: it does not. */
void tth_recorder_set_wait(tth_recorder *recorder, int64_t until_ns);
int64_t tth_recorder_wait_ns(tth_recorder *recorder, int64_t now_ns);

/* Writes the Hop, at most TTH_LEDGER_MOST bytes, into a new allocation; `hop` has all but legs and cut. false: no
 * memory. */
TETHER_MUST_USE bool tth_recorder_pack(tth_recorder *recorder, Tether__V1__Hop *hop, ProtobufCBinaryData *bytes);

#endif
