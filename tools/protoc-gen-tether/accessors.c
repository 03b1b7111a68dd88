#include "accessors.h"

static const struct tth_accessor accessors[] = {
    {.suffix = "send_request",
     .generic = "tether_call_send",
     .comment = "Client: sends a request; tether_call_close_send ends them. See tether_call_send.",
     .of_requests = true,
     .sends = true},
    {.suffix = "try_send_request",
     .generic = "tether_call_try_send",
     .comment = "The same without blocking: see tether_call_try_send.",
     .of_requests = true,
     .sends = true,
     .tries = true},
    {.suffix = "recv_reply",
     .generic = "tether_call_recv",
     .comment = "Client: receives the next reply, NULL after the last; borrowed until the next receive. "
                "See tether_call_recv."},
    {.suffix = "try_recv_reply",
     .generic = "tether_call_try_recv",
     .comment = "The same without blocking; writes the reply only if it was done: see tether_call_try_recv.",
     .tries = true},
    {.suffix = "recv_request",
     .generic = "tether_call_recv",
     .comment = "Handler: receives the next request, NULL after the last; borrowed until the next receive. "
                "See tether_call_recv.",
     .of_requests = true},
    {.suffix = "try_recv_request",
     .generic = "tether_call_try_recv",
     .comment = "The same without blocking; writes the request only if it was done: see tether_call_try_recv.",
     .of_requests = true,
     .tries = true},
    {.suffix = "send_reply",
     .generic = "tether_call_send",
     .comment = "Handler: sends a reply; the end of the call ends them. See tether_call_send.",
     .sends = true},
    {.suffix = "try_send_reply",
     .generic = "tether_call_try_send",
     .comment = "The same without blocking: see tether_call_try_send.",
     .sends = true,
     .tries = true},
};

const struct tth_accessor *tth_accessor_next(enum tth_shape shape, const struct tth_accessor *last) {
  const struct tth_accessor *end = accessors + sizeof accessors / sizeof *accessors;
  for (const struct tth_accessor *next = last ? last + 1 : accessors; next < end; next++) {
    if (next->of_requests ? tth_shape_streams_requests(shape) : tth_shape_streams_replies(shape)) return next;
  }
  return NULL;
}
