/* A server process: tests-node URL FD [small]. Serves Echo at URL until it is killed; its statistics, and the port it
 * listens on, are in the memory behind FD (support/node.h), where the test sees them whatever becomes of this process.
 */
#include "tests/support/node.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3 && argc != 4) return 2;
  sigset_t terminate; /* before anybody knows of us, and for the server's threads too */
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_BLOCK, &terminate, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlive a test that crashed */
  struct node_shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[2]), 0);
  if (shared == MAP_FAILED) return 2;
  close(atoi(argv[2]));
  tether_origin_set(shared->name);
  tether_server *server;
  tether_server_options options = {.max_workers = 256};
  if (argc == 4) options.limits = (tether_limits){.max_message_bytes = 1 << 20, .connection_window_bytes = 1 << 20};
  if (tether_server_open(&options, &server) != TETHER_OK || echo_server_add(server, &shared->stats) != TETHER_OK)
    return 3;
  if (tether_server_listen(server, argv[1]) != TETHER_OK) return 4;
  atomic_store(&shared->port, tether_server_port(server));
  atomic_store(&shared->ready, 1);
  int signal_number;
  sigwait(&terminate, &signal_number);
  tether_server_close(server);
  return 0;
}
