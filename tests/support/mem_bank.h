/* tests/support/mem_bank.h: a client of several addresses, mem://a, mem://b ..., and at each a peer at the level of
 * frames that comes, goes and says what the test has it say; in virtual time, on one thread. */
#ifndef TETHER_TESTS_MEM_BANK_H
#define TETHER_TESTS_MEM_BANK_H

#include "rpc/client.h"
#include "tests/support/mem_peer.h"

enum { TST_BANK_MOST = 4 };

typedef struct tst_bank {
  tst_mem_net *net;
  tst_mem_peer peers[TST_BANK_MOST];
  bool up[TST_BANK_MOST];
  uint32_t streams;
  const tth_transport *transport;    /* tst_transport_mem unless the test sets another, */
  void (*deliver)(tst_mem_net *net); /* and tst_link_mem_advance */
} tst_bank;

extern tst_bank tst_bank_now; /* of the test that runs */

/* cmocka setup and teardown: virtual time, an empty net. */
int tst_bank_setup(void **state);
int tst_bank_teardown(void **state);

/* A client on the bank's net, with these options (NULL: none) and no idle timeout unless they have one. Never NULL. */
TETHER_MUST_USE tether_client *tst_bank_client(const char *target, const tether_client_options *options);

/* Closes the client, after every peer has gone: there is no thread on which they could answer. */
void tst_bank_close(tether_client *client);

/* Somebody listens at the address from now on; nobody does, and a connection there is lost. */
void tst_bank_up(int at);
void tst_bank_down(int at);

/* The peer at the address is connected: it says HELLO. */
void tst_bank_hello(int at);

/* up, and HELLO to whoever connects within its next attempt's delay. */
void tst_bank_serve(int at);

/* The peer says GOAWAY, or TRAILERS with a code. */
void tst_bank_goaway(int at, uint32_t last_stream);
void tst_bank_trailers(int at, uint32_t stream, uint32_t code);

/* The peer refuses the call: it has not accepted it. */
void tst_bank_refuse(int at, uint32_t stream);

/* The HELLO of peers to come says so many streams; 8 to begin with. */
void tst_bank_streams(uint32_t most);

/* How many calls have come to the peer since it is up; whether it hears anybody. */
int tst_bank_calls(int at);
bool tst_bank_is_connected(int at);

/* Delivers what is due now; moves time on, and delivers. */
void tst_bank_pump(void);
void tst_bank_move(int64_t ns);

/* Starts a unary call that has no deadline. */
TETHER_MUST_USE tether_call *tst_bank_call(tether_client *client, bool wait_for_ready);

#define TST_BANK_CASE(name) \
  { #name, name, tst_bank_setup, tst_bank_teardown, NULL }

#endif
