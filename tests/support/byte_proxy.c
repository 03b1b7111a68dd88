#include "tests/support/byte_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/raw_peer.h"

#define PIECE ((size_t)64 * 1024)

/* How often a relay that holds looks whether it still does. */
#define HOLD_LOOK_MS 1

struct byte_proxy {
  int listener, stop[2]; /* the pipe's end that is read becomes readable when it is time to stop */
  char server_path[108];
  uint64_t seed;
  byte_proxy_faults faults;
  pthread_t thread;
  atomic_int cuts;
  atomic_bool swallows;
  atomic_bool holds; /* what the clients say */
};

/* One connection; a thread of its own. */
struct relay {
  byte_proxy *proxy;
  struct relay *next;
  pthread_t thread;
  uint64_t random, left; /* bytes until it is cut */
  int fds[2];
  size_t held[2]; /* bytes from fds[i] that have not been handed on */
  uint8_t bytes[2][PIECE];
};

static uint64_t next_random(uint64_t *state) {
  uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);
  value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
  return value ^ value >> 31;
}

static void pause_us(unsigned us) { nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL); }

/* Receives from one side. false: it has ended. */
static bool take(struct relay *r, int from) {
  size_t most = 1 + next_random(&r->random) % (PIECE - 1);
  ssize_t n = recv(r->fds[from], r->bytes[from], most, MSG_DONTWAIT);
  if (n > 0) r->held[from] = atomic_load(&r->proxy->swallows) ? 0 : (size_t)n;
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Hands on some of what it holds from one side. false: the other has ended, or it is time for the cut. */
static bool give(struct relay *r, int from) {
  if (atomic_load(&r->proxy->swallows)) r->held[from] = 0;
  size_t some = r->held[from];
  if (r->proxy->faults.pauses && next_random(&r->random) % 4 == 0) some = 1 + next_random(&r->random) % some;
  if (some > r->left) some = (size_t)r->left;
  ssize_t n = some ? send(r->fds[1 - from], r->bytes[from], some, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
  if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
  if (n > 0) {
    r->held[from] -= (size_t)n;
    r->left -= (uint64_t)n;
    memmove(r->bytes[from], r->bytes[from] + n, r->held[from]);
  }
  if (r->left == 0) atomic_fetch_add(&r->proxy->cuts, 1);
  return r->left > 0;
}

/* Now and then nothing moves for a while: mostly a little one, seldom a long one. */
static void dawdle(struct relay *r) {
  uint64_t dice = next_random(&r->random) % 200;
  if (!r->proxy->faults.pauses) return;
  if (dice < 20) pause_us(50 + (unsigned)(next_random(&r->random) % 500));
  if (dice == 20) pause_us(20000);
}

static bool move_on(struct relay *r) {
  struct pollfd polls[3] = {{.fd = r->proxy->stop[0], .events = POLLIN}};
  bool holds = atomic_load(&r->proxy->holds);
  for (int i = 0; i < 2; i++) {
    bool takes = !r->held[i] && !(holds && i == 0), gives = r->held[1 - i] && !(holds && i == 1);
    polls[1 + i].fd = r->fds[i];
    polls[1 + i].events = (short)((takes ? POLLIN : 0) | (gives ? POLLOUT : 0));
  }
  if (poll(polls, 3, holds ? HOLD_LOOK_MS : -1) < 0) return errno == EINTR;
  if (polls[0].revents) return false;
  if (atomic_load(&r->proxy->holds) != holds) return true;
  for (int i = 0; i < 2; i++) {
    if (polls[1 + i].revents & (POLLERR | POLLNVAL)) return false;
    if (polls[1 + i].revents & POLLHUP && !(polls[1 + i].revents & POLLIN)) return false;
    if (polls[1 + i].revents & POLLIN && !take(r, i)) return false;
    if (polls[1 + i].revents & POLLOUT && !give(r, 1 - i)) return false;
  }
  dawdle(r);
  return true;
}

static void *run_relay(void *data) {
  struct relay *r = data;
  while (move_on(r)) continue;
  /* One side may learn of it later than the other. */
  int first = (int)(next_random(&r->random) % 2);
  close(r->fds[first]);
  if (r->proxy->faults.pauses) pause_us((unsigned)(next_random(&r->random) % 20000));
  close(r->fds[1 - first]);
  return NULL;
}

static struct relay *start_relay(byte_proxy *proxy, int fd) {
  struct relay *r = calloc(1, sizeof *r);
  int server = raw_connect_ipc(proxy->server_path);
  if (!r || server < 0) {
    free(r);
    close(fd);
    if (server >= 0) close(server);
    return NULL;
  }
  r->proxy = proxy;
  r->fds[0] = fd;
  r->fds[1] = server;
  r->random = next_random(&proxy->seed);
  r->left = proxy->faults.cut_after ? 1 + next_random(&r->random) % proxy->faults.cut_after : UINT64_MAX;
  if (pthread_create(&r->thread, NULL, run_relay, r) == 0) return r;
  close(fd);
  close(server);
  free(r);
  return NULL;
}

static void *run_proxy(void *data) {
  byte_proxy *proxy = data;
  struct relay *relays = NULL;
  struct pollfd polls[2] = {{.fd = proxy->stop[0], .events = POLLIN}, {.fd = proxy->listener, .events = POLLIN}};
  while (poll(polls, 2, -1) >= 0 && !polls[0].revents) {
    int fd = polls[1].revents ? raw_accept(proxy->listener) : -1;
    struct relay *r = fd >= 0 ? start_relay(proxy, fd) : NULL;
    if (!r) continue;
    r->next = relays;
    relays = r;
  }
  for (struct relay *r; (r = relays); free(r)) {
    relays = r->next;
    pthread_join(r->thread, NULL);
  }
  return NULL;
}

byte_proxy *byte_proxy_open(const char *path, const char *server_path, uint64_t seed, byte_proxy_faults faults) {
  byte_proxy *proxy = calloc(1, sizeof *proxy);
  if (!proxy) return NULL;
  proxy->seed = seed;
  proxy->faults = faults;
  strncpy(proxy->server_path, server_path, sizeof proxy->server_path - 1);
  proxy->listener = raw_listen_ipc(path);
  if (proxy->listener >= 0 && pipe2(proxy->stop, O_CLOEXEC) == 0 &&
      pthread_create(&proxy->thread, NULL, run_proxy, proxy) == 0)
    return proxy;
  if (proxy->listener >= 0) close(proxy->listener);
  free(proxy);
  return NULL;
}

void byte_proxy_close(byte_proxy *proxy) {
  if (!proxy) return;
  close(proxy->stop[1]); /* readable for good: its end */
  pthread_join(proxy->thread, NULL);
  close(proxy->stop[0]);
  close(proxy->listener);
  free(proxy);
}

void byte_proxy_swallow(byte_proxy *proxy) { atomic_store(&proxy->swallows, true); }

void byte_proxy_hold(byte_proxy *proxy, bool holds) { atomic_store(&proxy->holds, holds); }

int byte_proxy_cuts(byte_proxy *proxy) { return atomic_load(&proxy->cuts); }
