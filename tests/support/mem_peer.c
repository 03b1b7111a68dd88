#include "tests/support/mem_peer.h"

#include <stdlib.h>
#include <string.h>

static void on_received(void *owner, const uint8_t *batch, size_t len) {
  tst_mem_peer *peer = owner;
  tst_frames *heard = &peer->heard;
  if (heard->len + len > heard->room) {
    heard->room = 2 * (heard->len + len);
    heard->bytes = realloc(heard->bytes, heard->room);
    if (!heard->bytes) abort();
  }
  memcpy(heard->bytes + heard->len, batch, len);
  heard->len += len;
}

static void on_sent(void *owner) {
  tst_mem_peer *peer = owner;
  peer->stuck = false;
}

static void on_closed(void *owner, const char *why) {
  tst_mem_peer *peer = owner;
  (void)why;
  peer->closed = true;
}

static const tth_link_events events = {.received = on_received, .sent = on_sent, .closed = on_closed};

static void on_dialed(void *owner, tth_link *link, const char *why) {
  tst_mem_peer *peer = owner;
  (void)why;
  peer->link = link;
  if (link) link->ops->start(link, &events, peer);
}

static void on_accepted(void *owner, tth_link *link) {
  tst_mem_peer *peer = owner;
  if (peer->link)
    link->ops->free(link);
  else
    on_dialed(peer, link, NULL);
}

bool tst_mem_peer_dial(tst_mem_peer *peer, tst_mem_net *net, const char *url) {
  *peer = (tst_mem_peer){.net = net};
  if (tst_transport_mem.dialer_new(url, NULL, &peer->dialer) != TETHER_OK) return false;
  tst_transport_mem.dial(peer->dialer, TETHER_SEC, on_dialed, peer);
  tst_link_mem_pump(net);
  return peer->link;
}

bool tst_mem_peer_listen(tst_mem_peer *peer, tst_mem_net *net, const char *url) {
  *peer = (tst_mem_peer){.net = net};
  return tst_transport_mem.listen(url, NULL, on_accepted, peer, &peer->listener) == TETHER_OK;
}

void tst_mem_peer_say(tst_mem_peer *peer, const void *batch, size_t len) {
  if (peer->link && !peer->closed && !peer->stuck && len > 0) {
    peer->stuck = true;
    peer->link->ops->send(peer->link, batch, len);
  }
  tst_link_mem_pump(peer->net);
}

void tst_mem_peer_say_frames(tst_mem_peer *peer, tst_frames *frames) {
  tst_mem_peer_say(peer, frames->bytes, frames->len);
  frames->len = 0;
}

int tst_mem_peer_code(const tst_mem_peer *peer, uint32_t stream) {
  size_t at = 0;
  tth_frame frame;
  if (!tst_frames_find(peer->heard.bytes, peer->heard.len, &at, TTH_TRAILERS, stream, &frame)) return -1;
  return tst_trailers_code(&frame);
}

void tst_mem_peer_fini(tst_mem_peer *peer) {
  if (peer->link) {
    tst_mem_break(peer->link);
    tst_link_mem_pump(peer->net);
    peer->link->ops->free(peer->link);
  }
  tst_transport_mem.dialer_free(peer->dialer);
  tst_transport_mem.listener_free(peer->listener);
  tst_frames_fini(&peer->heard);
  *peer = (tst_mem_peer){0};
}
