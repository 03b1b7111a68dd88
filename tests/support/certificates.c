#include "tests/support/certificates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *read_file(const char *dir, const char *name) {
  char path[128], *text = calloc(1, 16384);
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "r");
  if (!file || !text || fread(text, 1, 16383, file) == 0) abort();
  fclose(file);
  return text;
}

static int run(const char *dir, const char *script) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    if (chdir(dir) == 0) execl("/bin/sh", "sh", "-ec", script, (char *)NULL);
    _exit(127);
  }
  return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

bool tst_certificates_make(tst_certificates *certificates) {
  static const char script[] =
      "key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'\n"
      "for ca in ca other; do\n"
      "  openssl req -x509 $key -days 2 -subj /CN=$ca -keyout $ca.key -out $ca.pem\n"
      "done 2>log\n"
      "openssl req $key -subj /CN=server -keyout server.key -out server.csr 2>log\n"
      "echo subjectAltName=DNS:localhost >ext\n"
      "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem "
      "2>log\n";
  char *dir = certificates->dir;
  strcpy(dir, "/tmp/tether-tls-XXXXXX");
  if (!mkdtemp(dir) || run(dir, script)) return false;
  certificates->ca = read_file(dir, "ca.pem");
  certificates->other_ca = read_file(dir, "other.pem");
  certificates->cert = read_file(dir, "server.pem");
  certificates->key = read_file(dir, "server.key");
  return true;
}

bool tst_certificates_remove(tst_certificates *certificates) {
  free(certificates->ca);
  free(certificates->other_ca);
  free(certificates->cert);
  free(certificates->key);
  return run(certificates->dir, "rm -f ca.* other.* server.* ext log") == 0 && rmdir(certificates->dir) == 0;
}
