/* tests/fuzz/session_check.h: what must hold of a session's insides at any moment, whatever its peer has said. */
#ifndef TETHER_TESTS_FUZZ_SESSION_CHECK_H
#define TETHER_TESTS_FUZZ_SESSION_CHECK_H

#include "rpc/session_impl.h"

/* Ends the process if something does not hold. */
void session_check(const tth_session *session);

/* After a fill that had room enough: nothing that could leave is left. */
void session_check_filled(const tth_session *session);

#endif
