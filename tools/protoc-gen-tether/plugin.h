/* plugin.h: one run of the generator. */
#ifndef TTH_PLUGIN_H
#define TTH_PLUGIN_H

#include <stdio.h>

/* Reads a CodeGeneratorRequest from `in` up to its end and writes the CodeGeneratorResponse to `out`. Returns the
 * exit status: 0, also when the .proto files are at fault (the response says so); 1 when `in` holds no request or
 * `out` takes no response, with the reason on `errors`. */
int tth_plugin_run(FILE *in, FILE *out, FILE *errors);

#endif
