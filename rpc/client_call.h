/* rpc/client_call.h: what the files of a client's call tell each other: how it starts (client_call.c), what comes for
 * it (client_call_answer.c), its end (client_call_end.c), where its time went (client_call_explain.c) and what becomes
 * of its stream (client_call_gone.c). What others use is in call.h. */
#ifndef TETHER_RPC_CLIENT_CALL_H
#define TETHER_RPC_CLIENT_CALL_H

#include "rpc/client.h"

/* The call's stream is gone, with so many handlers known to run below. `how`: TTH_GONE_... The first one counts. */
void tth_client_call_mark_gone(tether_call *call, uint32_t how, uint32_t running);

/* The same in two steps, for whoever has the call ENDING: the mark, which its results follow from, and, once these are
 * on record, telling those who waited for the stream's end: to them it says that nothing more comes of it. */
void tth_client_call_note_gone(tether_call *call, uint32_t how, uint32_t running);
void tth_client_call_tell_gone(tether_call *call);

/* ---- The end, by whoever has the call ENDING ----------------------------------------------- */

/* The results are written: notes the call for its ledger, and in the one of the handler that made it. First; then */
void tth_client_call_record(tether_call *call);

/* counts the call, stops what it waits for, lets its interceptors know, tells that its stream is gone, if it is, and
 * publishes it. */
void tth_client_call_complete(tether_call *call);

/* How long a call's deadline had passed then. */
int64_t tth_client_call_late_ns(const tether_call *call, int64_t at_ns);

/* The message of a call that ran out of its time: answered, if the server told where it went; or not answered, and it
 * was in this phase when it was taken from there. */
void tth_client_call_explain(tether_call *call);
void tth_client_call_explain_unanswered(tether_call *call, tether_phase phase);

#endif
