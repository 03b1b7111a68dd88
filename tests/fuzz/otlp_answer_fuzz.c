/* What a collector of traces answers: libtether-otlp's exporter, whose connection leads to us, who say the
 * input whatever is asked. A span is taken or dropped once, and never taken without an answer. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "modules/otlp/exporter.h"
#include "tests/fuzz/fuzz.h"

static otlp_config config;
static otlp_exporter exporter;
static int listener;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t len = sizeof address;
  (void)argc, (void)argv;
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  /* An address of the kernel's choice, in no folder. */
  FUZZ_CHECK(bind(listener, (struct sockaddr *)&address, sizeof address.sun_family) == 0 && listen(listener, 4) == 0);
  FUZZ_CHECK(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
  setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318", 1);
  FUZZ_CHECK(tth_otlp_config_read(&config, "fuzz") == TETHER_OK && config.on);
  config.batch_most = 1; /* each span at once, */
  config.export_ns = 1;  /* and once */
  config.timeout_ns = 10 * TETHER_SEC;
  FUZZ_CHECK(tth_otlp_exporter_open(&exporter, &config) == TETHER_OK);
  /* Its thread touches this only when there is a span. */
  curl_easy_setopt(exporter.curl, CURLOPT_ABSTRACT_UNIX_SOCKET, address.sun_path + 1);
  curl_easy_setopt(exporter.curl, CURLOPT_FORBID_REUSE, 1L); /* inputs do not depend on each other */
  curl_easy_setopt(exporter.curl, CURLOPT_NOPROXY, "*");
  return 0;
}

/* Whether there is anything that libcurl may take for a line of status: it is not strict, and what it does not
 * understand after "HTTP/" is 200 for it. */
static bool answers(const char *at, size_t len) {
  for (size_t i = 0; i + 5 <= len; i++)
    if (strncasecmp(at + i, "HTTP/", 5) == 0) return true;
  return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  const tether_otlp_span span = {.name = "span"};
  uint64_t taken = atomic_load(&exporter.exported), before = taken + atomic_load(&exporter.dropped);
  tth_otlp_exporter_add(&exporter, tth_otlp_record_new(&span));
  int fd;
  do fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  while (fd < 0 && errno == EINTR); /* libFuzzer's own timer */
  FUZZ_CHECK(fd >= 0);
  if (size > 0) (void)!send(fd, input, size, MSG_NOSIGNAL);
  shutdown(fd, SHUT_WR);
  while (atomic_load(&exporter.exported) + atomic_load(&exporter.dropped) == before ||
         atomic_load(&exporter.waiting) > 0)
    sched_yield();
  FUZZ_CHECK(atomic_load(&exporter.exported) + atomic_load(&exporter.dropped) == before + 1);
  bool was_taken = atomic_load(&exporter.exported) > taken;
  FUZZ_CHECK(exporter.failing == !was_taken); /* the thread has nothing to do now */
  if (was_taken) FUZZ_CHECK(answers((const char *)input, size));
  close(fd);
  return 0;
}
