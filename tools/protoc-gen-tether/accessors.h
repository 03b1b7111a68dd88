/* accessors.h: the typed functions that send and receive the messages of a streaming method.
 *
 *   stream of       client         handler
 *   requests        send_request   recv_request
 *   replies         recv_reply     send_reply
 *
 * Each also as try_..., which does not block. */
#ifndef TTH_ACCESSORS_H
#define TTH_ACCESSORS_H

#include "model.h"

struct tth_accessor {
  const char *suffix;  /* send_request: the function is demo_v1_greeter_chat_send_request */
  const char *generic; /* tether_call_send, which it wraps */
  const char *comment;
  bool of_requests; /* else of replies */
  bool sends;       /* else receives */
  bool tries;       /* has `bool *done` */
};

/* The first accessor of a shape after `last` (NULL: the first of all); NULL when there are no more. */
const struct tth_accessor *tth_accessor_next(enum tth_shape shape, const struct tth_accessor *last);

#endif
