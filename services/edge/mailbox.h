/* edge/mailbox.h: how RPC callbacks, which run on tether's threads, reach the HTTP thread, which owns everything that
 * libevent knows of. */
#ifndef SERVICES_EDGE_MAILBOX_H
#define SERVICES_EDGE_MAILBOX_H

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>

/* In the sender's memory, so posting cannot fail. */
typedef struct edge_mail {
  void (*deliver)(struct edge_mail *mail); /* runs on the HTTP thread */
  struct edge_mail *next;
} edge_mail;

typedef struct edge_mailbox {
  int fd; /* an eventfd: readable while mail waits */
  struct event *readable;
  pthread_mutex_t lock; /* owns: */
  edge_mail *first, *last;
} edge_mailbox;

/* False if the system has no descriptor or memory left. */
bool edge_mailbox_init(edge_mailbox *box, struct event_base *base);
void edge_mailbox_fini(edge_mailbox *box);

/* Any thread. Mail is delivered in the order posted. */
void edge_mailbox_post(edge_mailbox *box, edge_mail *mail);

#endif
