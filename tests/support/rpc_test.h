/* A server and a client of it, over an ipc socket in a directory of their own. */
#ifndef TESTS_SUPPORT_RPC_TEST_H
#define TESTS_SUPPORT_RPC_TEST_H

/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/echo_server.h"

/* Longer than anything takes that works; what reaches it fails. */
#define RPC_TEST_BOUND_NS (30 * TETHER_SEC)

struct rpc_fixture {
  char dir[64], url[128];
  tether_server *server;
  tether_client *client;
  struct echo_stats stats;
};

/* cmocka setup and teardown, after a test that failed as well. Options may be NULL. */
int rpc_fixture_open(void **state, const tether_server_options *server, const tether_client_options *client);
int rpc_fixture_close(void **state);

/* The call's code, with its message when it is another. */
void rpc_assert_code_at(const tether_call *call, tether_code code, const char *file, int line);
#define rpc_assert_code(call, code) rpc_assert_code_at(call, code, __FILE__, __LINE__)

/* Waits until *value is `wanted`; false after the bound. */
bool rpc_wait_for(const atomic_int *value, int wanted);

#endif
