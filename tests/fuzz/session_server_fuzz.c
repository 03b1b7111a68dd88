/* The server's half of the protocol's state machine against a peer that says anything (session_driver.h). */
#include "tests/fuzz/session_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  driver_run(TTH_SERVER, input, size);
  return 0;
}
