/* protoc-gen-tether: writes C stubs and service tables for tether from .proto files. protoc runs it
 * (protoc --tether_out=DIR x.proto), hands a CodeGeneratorRequest to standard input and takes a
 * CodeGeneratorResponse from standard output. */
#include <stdio.h>
#include <string.h>

#include "plugin.h"

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts("protoc-gen-tether " TETHER_VERSION);
    return 0;
  }
  if (argc > 1) {
    fputs("protoc-gen-tether: takes no arguments: protoc runs it, as in protoc --tether_out=DIR x.proto\n", stderr);
    return 1;
  }
  return tth_plugin_run(stdin, stdout, stderr);
}
