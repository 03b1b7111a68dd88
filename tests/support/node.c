#include "tests/support/node.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

extern char **environ;

bool node_init(struct node *node, const char *name, const char *url) {
  *node = (struct node){.fd = memfd_create(name, 0)}; /* inherited by the process */
  snprintf(node->url, sizeof node->url, "%s", url);
  if (node->fd < 0 || ftruncate(node->fd, sizeof *node->shared) != 0) return false;
  node->shared = mmap(NULL, sizeof *node->shared, PROT_READ | PROT_WRITE, MAP_SHARED, node->fd, 0);
  if (node->shared == MAP_FAILED) return false;
  snprintf(node->shared->name, sizeof node->shared->name, "%s", name);
  return true;
}

bool node_start(struct node *node) {
  char fd[16];
  snprintf(fd, sizeof fd, "%d", node->fd);
  char *argv[] = {(char *)TETHER_BINARY_DIR "/tests/tests-node", node->url, fd, node->small ? "small" : NULL, NULL};
  atomic_store(&node->shared->ready, 0);
  errno = posix_spawn(&node->pid, argv[0], NULL, NULL, argv, environ);
  if (errno) return false;
  if (!rpc_wait_for(&node->shared->ready, 1)) return false;
  if (atomic_load(&node->shared->port) > 0)
    snprintf(node->url, sizeof node->url, "tcp://127.0.0.1:%d", atomic_load(&node->shared->port));
  return true;
}

bool node_pause(const struct node *node) {
  int status = 0;
  if (kill(node->pid, SIGSTOP) != 0) return false;
  while (waitpid(node->pid, &status, WUNTRACED) < 0 && errno == EINTR) continue;
  return WIFSTOPPED(status);
}

int node_stop(struct node *node, int signal_number) {
  int status = -1;
  if (node->pid <= 0) return -1;
  kill(node->pid, signal_number);
  kill(node->pid, SIGCONT); /* a test that failed may have left it paused */
  while (waitpid(node->pid, &status, 0) < 0 && errno == EINTR) continue;
  node->pid = 0;
  /* What it counted as running does not run any more. */
  atomic_store(&node->shared->stats.hanging, 0);
  return status;
}

void node_fini(struct node *node) {
  node_stop(node, SIGKILL);
  if (node->shared && node->shared != MAP_FAILED) munmap(node->shared, sizeof *node->shared);
  if (node->fd >= 0) close(node->fd);
}

static int count_entries(const struct node *node, const char *what) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)node->pid, what);
  DIR *dir = opendir(path);
  int count = 0;
  while (dir && readdir(dir)) count++;
  if (dir) closedir(dir);
  return count - 2;
}

int node_fds(const struct node *node) { return count_entries(node, "fd"); }
int node_threads(const struct node *node) { return count_entries(node, "task"); }
