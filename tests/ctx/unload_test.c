/* The shared library in a program that loads it at run time, and lets go of it while its thread and its fork
 * handlers are in use. */
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/ctx_thread.h"

/* The functions of the loaded copy, which is not the one this test is linked with. */
struct loaded {
  void *handle;
  __typeof__(&tether_ctx_background) background;
  __typeof__(&tether_ctx_enable_request_cancel) enable;
  tether_ctx *(*with_cancel)(const tether_ctx *parent);
  __typeof__(&tether_ctx_free) free;
};

static void *symbol(const struct loaded *lib, const char *name) {
  void *found = dlsym(lib->handle, name);
  assert_non_null(found);
  return found;
}

static void loaded_open(struct loaded *lib) {
  lib->handle = dlopen(TETHER_BINARY_DIR "/ctx/libtether-ctx.so", RTLD_NOW | RTLD_LOCAL);
  if (lib->handle == NULL) fail_msg("%s", dlerror());
  *(void **)&lib->background = symbol(lib, "tether_ctx_background");
  *(void **)&lib->enable = symbol(lib, "tether_ctx_enable_request_cancel");
  *(void **)&lib->with_cancel = symbol(lib, "tether_ctx_with_cancel");
  *(void **)&lib->free = symbol(lib, "tether_ctx_free");
}

static void library_stays_when_it_is_closed(void **state) {
  struct loaded lib;
  int status = -1;
  (void)state;
  loaded_open(&lib);
  assert_ptr_not_equal(lib.background(), tether_ctx_background());
  tether_ctx *ctx = lib.with_cancel(lib.background());
  assert_code(lib.enable(ctx), TETHER_OK); /* starts the thread */
  assert_true(ctx_wait_all_blocked(1));
  lib.free(ctx);
  assert_int_equal(dlclose(lib.handle), 0);
  assert_non_null(dlopen(TETHER_BINARY_DIR "/ctx/libtether-ctx.so", RTLD_NOW | RTLD_NOLOAD));
  const pid_t child = fork(); /* runs its handlers */
  if (child == 0) _exit(0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_non_null(lib.background());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(library_stays_when_it_is_closed),
  };
  return cmocka_run_group_tests_name("unload", tests, NULL, NULL);
}
