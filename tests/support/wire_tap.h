/* tests/support/wire_tap.h: stands between a client and a server on TCP and writes down every byte that passes, both
 * ways. */
#ifndef TETHER_TESTS_WIRE_TAP_H
#define TETHER_TESTS_WIRE_TAP_H

#include <tether/base.h>

typedef struct wire_tap wire_tap;

/* Listens on a port that it picks, and connects each that comes to `server_port`. Aborts where it cannot. */
wire_tap *wire_tap_open(uint16_t server_port, uint16_t *port);

/* Cuts what is left, and waits for its threads. */
void wire_tap_close(wire_tap *tap);

/* How many bytes have passed; whether `text` was among them, in one piece of one connection's one direction. */
size_t wire_tap_bytes(wire_tap *tap);
bool wire_tap_saw(wire_tap *tap, const char *text);

#endif
