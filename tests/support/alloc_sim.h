/* tests/support/alloc_sim.h: a server with the echo service and a client of it, in virtual time on a net in memory,
 * whose allocations fail (alloc_fault.h); those of the net, of timers and of the test's waits do not. */
#ifndef TETHER_TESTS_ALLOC_SIM_H
#define TETHER_TESTS_ALLOC_SIM_H

#include "tests/support/alloc_fault.h"
#include "tests/support/rpc_test.h"

extern struct echo_stats tst_alloc_stats; /* of the echo service */

/* cmocka setup and teardown. */
int tst_alloc_sim_setup(void **state);
int tst_alloc_sim_teardown(void **state);

/* Opens both; false: there was no memory for it. A server without its client stays open, for tst_alloc_sim_close. */
TETHER_MUST_USE bool tst_alloc_sim_open(const tether_server_options *server_options,
                                        const tether_client_options *client_options, tether_server **server,
                                        tether_client **client);

/* Closes these, which waits for what has to be delivered meanwhile; NULL is taken. */
void tst_alloc_sim_close(tether_client *client, tether_server *server);

/* Moves time on, ends what is due and delivers what was sent. */
void tst_alloc_sim_pump(int64_t ns);

/* Asks again and again, with short pauses: there are thousands of waits. */
TETHER_MUST_USE bool tst_alloc_sim_comes_true(bool (*condition)(void *data), void *data);

/* For that: an atomic_int is 0; what there is to deliver is delivered first. */
bool tst_alloc_sim_is_zero(void *data);

#define TST_ALLOC_CASE(name) \
  { #name, name, tst_alloc_sim_setup, tst_alloc_sim_teardown, NULL }

#endif
