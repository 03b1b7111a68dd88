/* load/catalogue.h: reads a Debian package catalogue (the format of Packages files and of dpkg's status file). */
#ifndef SERVICES_LOAD_CATALOGUE_H
#define SERVICES_LOAD_CATALOGUE_H

#include <stdio.h>
#include <tether/base.h>

typedef struct catalogue catalogue;

typedef struct catalogue_package {
  const char *name, *version, *section, *summary; /* UTF-8; valid until the next call; "" where missing */
} catalogue_package;

/* Reads from `file`, which stays the caller's. `source` names it in errors. NULL without memory. */
TETHER_MUST_USE catalogue *catalogue_open(FILE *file, const char *source);
void catalogue_close(catalogue *catalogue);

/* The next package: TETHER_OK; TETHER_OUT_OF_RANGE at the end; TETHER_INVALID_ARGUMENT if the input is not a catalogue;
 * TETHER_RESOURCE_EXHAUSTED; TETHER_UNAVAILABLE if reading fails. catalogue_error then tells what, where, and what to
 * do. */
TETHER_MUST_USE tether_code catalogue_next(catalogue *catalogue, catalogue_package *package);
const char *catalogue_error(const catalogue *catalogue);

#endif
