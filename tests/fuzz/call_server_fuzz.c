/* A server and a client that says anything (call_world.h). */
#include "tests/fuzz/call_world.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  world_init(true);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  world_run(false, input, size);
  return 0;
}
