/* symbols.h: finds names that differ in the .proto and meet in C. */
#ifndef TTH_SYMBOLS_H
#define TTH_SYMBOLS_H

#include "model.h"

/* Reports every C name that two elements of `files` would both define. */
void tth_symbols_check(struct tth_arena *arena, const struct tth_file *files, size_t count, struct tth_diag *diag);

#endif
