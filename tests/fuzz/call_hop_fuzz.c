/* A server whose handlers make calls, between a client and a server that both say anything (call_world.h). */
#include "tests/fuzz/call_world.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  world_init(true);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  world_run(true, input, size);
  return 0;
}
