#include "support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 2 };

void nap_ms(int ms) { nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL); }

static void redirect(const char *path, int to) {
  int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0 || dup2(fd, to) < 0) _exit(127);
}

static void become(const process *p, const char *path, const char *const args[]) {
  const char *argv[64] = {path};
  for (int i = 0; i < 62 && args[i]; i++) argv[i + 1] = args[i];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  redirect(p->out, STDOUT_FILENO);
  redirect(p->log, STDERR_FILENO);
  execv(path, (char *const *)argv);
  _exit(127);
}

void process_start(process *p, const char *dir, const char *label, const char *program, const char *const args[]) {
  char path[512];
  if (*program == '/')
    snprintf(path, sizeof path, "%s", program);
  else
    snprintf(path, sizeof path, "%s/%s", TESTS_SERVICES_PROGRAMS, program);
  snprintf(p->log, sizeof p->log, "%s/%s.log", dir, label);
  snprintf(p->out, sizeof p->out, "%s/%s.out", dir, label);
  unlink(p->log);
  unlink(p->out);
  p->pid = fork();
  if (p->pid == 0) become(p, path, args);
  if (p->pid > 0) return;
  perror("fork");
  abort();
}

int process_wait(process *p) {
  for (int waited = 0; waited < PATIENCE_MS; waited += POLL_MS) {
    int status;
    pid_t pid = waitpid(p->pid, &status, WNOHANG);
    if (pid == p->pid) {
      p->pid = 0;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    nap_ms(POLL_MS);
  }
  return -1;
}

int process_run(process *p, const char *dir, const char *label, const char *program, const char *const args[]) {
  process_start(p, dir, label, program, args);
  int status = process_wait(p);
  process_kill(p);
  return status;
}

void process_kill(process *p) {
  if (p->pid <= 0) return;
  kill(p->pid, SIGKILL);
  waitpid(p->pid, NULL, 0);
  p->pid = 0;
}

long process_kilobytes(const process *p, const char *what) {
  char path[64], key[32];
  long number = -1;
  snprintf(path, sizeof path, "/proc/%d/status", (int)p->pid);
  snprintf(key, sizeof key, "\n%s:", what);
  char *text = file_text(path);
  size_t len = strlen(key);
  for (const char *at = text; number < 0 && *at; at++)
    if (strncmp(at, key, len) == 0) number = strtol(at + len, NULL, 10);
  free(text);
  return number;
}

char *file_text(const char *path) {
  char *text = NULL;
  size_t size = 0;
  FILE *from = fopen(path, "re");
  FILE *to = open_memstream(&text, &size);
  for (int c; from && (c = getc(from)) != EOF;) putc(c, to);
  if (from) fclose(from);
  fclose(to);
  return text;
}

static bool matches(const char *line, const char *event, const char *trace, const char *containing) {
  char pair[128];
  snprintf(pair, sizeof pair, " event=%s ", event);
  if (!strstr(line, pair)) return false;
  snprintf(pair, sizeof pair, " trace=%s ", trace ? trace : "");
  if (trace && !strstr(line, pair)) return false;
  return !containing || strstr(line, containing);
}

bool log_find(const process *p, const char *event, const char *trace, const char *containing, log_line *line) {
  char *text = file_text(p->log);
  bool found = false;
  for (char *start = text, *end; !found && (end = strchr(start, '\n')); start = end + 1) {
    *end = '\0';
    found = matches(start, event, trace, containing);
    if (found) snprintf(line->text, sizeof line->text, "%s", start);
  }
  free(text);
  return found;
}

bool log_wait(const process *p, const char *event, const char *trace, const char *containing, log_line *line) {
  for (int waited = 0; waited < PATIENCE_MS; waited += POLL_MS) {
    if (log_find(p, event, trace, containing, line)) return true;
    nap_ms(POLL_MS);
  }
  fprintf(stderr, "no line with event=%s trace=%s '%s' in %s:\n", event, trace ? trace : "*",
          containing ? containing : "", p->log);
  char *text = file_text(p->log);
  fputs(text, stderr);
  free(text);
  return false;
}

const char *log_value(const log_line *line, const char *key, char value[256]) {
  char pair[64];
  snprintf(pair, sizeof pair, " %s=", key);
  const char *at = strstr(line->text, pair);
  value[0] = '\0';
  if (!at) return value;
  at += strlen(pair);
  const char *end = *at == '"' ? strchr(++at, '"') : strchrnul(at, ' ');
  snprintf(value, 256, "%.*s", (int)(end ? end - at : 0), at);
  return value;
}

int64_t log_time_us(const log_line *line) {
  int hours = 0, minutes = 0, seconds = 0, micros = 0;
  sscanf(line->text, "time=%*4d-%*2d-%*2dT%d:%d:%d.%d", &hours, &minutes, &seconds, &micros);
  return ((hours * 60LL + minutes) * 60 + seconds) * 1000000 + micros;
}
