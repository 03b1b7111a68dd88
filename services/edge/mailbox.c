#include "edge/mailbox.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static edge_mail *take_all(edge_mailbox *box) {
  pthread_mutex_lock(&box->lock);
  edge_mail *mail = box->first;
  box->first = box->last = NULL;
  pthread_mutex_unlock(&box->lock);
  return mail;
}

static void on_readable(evutil_socket_t fd, short what, void *data) {
  uint64_t posted;
  (void)what;
  if (read(fd, &posted, sizeof posted) < 0) return; /* woken for nothing */
  for (edge_mail *mail = take_all(data); mail;) {
    edge_mail *next = mail->next; /* deliver may release the mail */
    mail->deliver(mail);
    mail = next;
  }
}

bool edge_mailbox_init(edge_mailbox *box, struct event_base *base) {
  *box = (edge_mailbox){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (box->fd < 0) return false;
  pthread_mutex_init(&box->lock, NULL);
  box->readable = event_new(base, box->fd, EV_READ | EV_PERSIST, on_readable, box);
  return box->readable && event_add(box->readable, NULL) == 0;
}

void edge_mailbox_fini(edge_mailbox *box) {
  if (box->readable) event_free(box->readable);
  if (box->fd < 0) return;
  close(box->fd);
  pthread_mutex_destroy(&box->lock);
}

void edge_mailbox_post(edge_mailbox *box, edge_mail *mail) {
  mail->next = NULL;
  pthread_mutex_lock(&box->lock);
  if (box->last)
    box->last->next = mail;
  else
    box->first = mail;
  box->last = mail;
  pthread_mutex_unlock(&box->lock);
  if (eventfd_write(box->fd, 1) != 0) return; /* the counter is at its maximum: readable already */
}
