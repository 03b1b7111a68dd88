/* Causes to and from the wire. */
#include "rpc/cause_wire.h"

#include "rpc/utf8.h"

void tth_cause_to_wire(const tether_cause *cause, Tether__V1__Cause *wire) {
  wire->code = tether_cause_get_code(cause);
  wire->origin = (char *)tth_utf8_text(tether_cause_origin(cause));
  wire->text = (char *)tth_utf8_text(tether_cause_text(cause));
}

tether_cause *tth_cause_from_wire(const Tether__V1__Cause *cause) {
  if (!cause) return NULL;
  tether_cause_code code =
      cause->code > 0 && cause->code <= TETHER_CAUSE_ENOUGH ? (tether_cause_code)cause->code : TETHER_CAUSE_OTHER;
  return tether_cause_new(code, cause->origin ? cause->origin : "", cause->text);
}
