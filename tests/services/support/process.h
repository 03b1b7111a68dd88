/* support/process.h: runs the services as real processes and reads their logs. */
#ifndef TESTS_SERVICES_PROCESS_H
#define TESTS_SERVICES_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Bound of every wait for something that must happen: far above what it takes, even on a busy machine under a
 * sanitizer. */
enum { PATIENCE_MS = 20000 };

typedef struct process {
  pid_t pid;
  char log[256]; /* file with its standard error */
  char out[256]; /* file with its standard output */
} process;

/* Starts a program of the services by its name, or another by its whole path; `args` is NULL-terminated, without the
 * name. It dies with this process. Its output goes to `dir`/`label`.log and .out. */
void process_start(process *p, const char *dir, const char *label, const char *program, const char *const args[]);

/* Waits until it has ended: its exit code; 128 + the signal that killed it; -1 if it still runs after PATIENCE_MS. */
int process_wait(process *p);

/* process_start and process_wait. */
int process_run(process *p, const char *dir, const char *label, const char *program, const char *const args[]);

/* Kills it if it runs. */
void process_kill(process *p);

/* A whole file as a string, to be freed; "" if there is none. */
char *file_text(const char *path);

/* A number of kilobytes from the process's status: "VmRSS", "VmHWM" (its peak); -1 if it cannot be read. */
long process_kilobytes(const process *p, const char *what);

typedef struct log_line {
  char text[2048];
} log_line;

/* Finds the first complete line of the log with event=`event` and, unless they are NULL, the trace id and the other
 * text. */
bool log_find(const process *p, const char *event, const char *trace, const char *containing, log_line *line);

/* Waits for such a line; false after PATIENCE_MS. */
bool log_wait(const process *p, const char *event, const char *trace, const char *containing, log_line *line);

/* The value of `key` in the line, without quotes; "" if it has none. */
const char *log_value(const log_line *line, const char *key, char value[256]);

/* The line's time, in microseconds within its day. */
int64_t log_time_us(const log_line *line);

void nap_ms(int ms);

#endif
