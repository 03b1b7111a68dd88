/* Happy path: initdb as a child, postgres as a child that stays, which is ready when its postmaster.pid says so.
 * Failures: printed with the end of the server's log. Should the test die, the kernel tells the server to quit
 * (PR_SET_PDEATHSIG); the directory it leaves is removed by the next test, which knows the owner by the name. */
#include "tests/support/postgres.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/wait.h"

#define NAME "postgres."
#define USER "tether"
enum { SOCKET_PATH_MAX = 80 }; /* the kernel takes 107, with the socket's name */

/* The newest, by number; "" if there is none. */
static void find_bin(char bin[128]) {
  glob_t found;
  int best = 0;
  bin[0] = '\0';
  if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) != 0) return;
  for (size_t i = 0; i < found.gl_pathc; i++) {
    int version = (int)strtol(found.gl_pathv[i] + strlen("/usr/lib/postgresql/"), NULL, 10);
    if (version <= best || strlen(found.gl_pathv[i]) >= 128) continue;
    best = version;
    strcpy(bin, found.gl_pathv[i]);
  }
  globfree(&found);
}

bool tst_postgres_is_installed(void) {
  char bin[128];
  find_bin(bin);
  if (*bin) return true;
  fprintf(stderr, "skipped: no PostgreSQL server here; 'tools/install-deps test' installs it\n");
  return false;
}

/* ---- Its user ------------------------------------------------------------------------------- */

/* NULL: ours will do. */
static const struct passwd *other_user(void) {
  if (geteuid() != 0) return NULL;
  const struct passwd *user = getpwnam("postgres");
  return user ? user : getpwnam("nobody");
}

/* In a child. */
static void become(const struct passwd *user) {
  if (user && (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) _exit(126);
  prctl(PR_SET_PDEATHSIG, SIGQUIT); /* after setuid, which forgets it */
}

static bool can_enter(const char *dir, const struct passwd *user) {
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    become(user);
    _exit(access(dir, X_OK | W_OK) == 0 ? 0 : 1);
  }
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Starts one of its programs. */
static pid_t run(const tst_postgres *postgres, const char *program, char *const args[]) {
  char path[256], log[256];
  snprintf(path, sizeof path, "%s/%s", postgres->bin, program);
  snprintf(log, sizeof log, "%s/log", postgres->dir);
  const struct passwd *user = other_user();
  fflush(NULL);
  pid_t pid = fork();
  if (pid != 0) return pid;
  become(user);
  int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0 || chdir(postgres->dir) != 0) _exit(126);
  execv(path, args);
  _exit(127);
}

static void print_log(const tst_postgres *postgres) {
  char path[256], text[4096];
  snprintf(path, sizeof path, "%s/log", postgres->dir);
  FILE *file = fopen(path, "re");
  if (!file) return;
  if (fseek(file, -(long)sizeof text, SEEK_END) != 0) rewind(file);
  size_t len = fread(text, 1, sizeof text, file);
  fprintf(stderr, "%.*s\n", (int)len, text);
  fclose(file);
}

/* ---- Its directory -------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
  (void)info, (void)kind, (void)at;
  return remove(path);
}

static void remove_all(const char *dir) { (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* What tests that were killed have left. */
static void remove_stale(const char *base) {
  DIR *dir = opendir(base);
  const struct dirent *entry;
  char path[512];
  while (dir && (entry = readdir(dir)) != NULL) {
    if (strncmp(entry->d_name, NAME, strlen(NAME)) != 0) continue;
    long pid = strtol(entry->d_name + strlen(NAME), NULL, 10);
    if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH) continue;
    snprintf(path, sizeof path, "%s/%s", base, entry->d_name);
    remove_all(path);
  }
  if (dir) closedir(dir);
}

/* In the build, unless its user cannot go there or the path is too long for a socket. */
static bool make_dir(tst_postgres *postgres) {
  const char *const bases[] = {TETHER_BINARY_DIR, "/tmp"};
  const struct passwd *user = other_user();
  for (size_t i = 0; i < 2; i++) {
    int len = snprintf(postgres->dir, sizeof postgres->dir, "%s/" NAME "%d.XXXXXX", bases[i], (int)getpid());
    if (len > SOCKET_PATH_MAX) continue;
    remove_stale(bases[i]);
    if (!mkdtemp(postgres->dir)) continue;
    if ((!user || chown(postgres->dir, user->pw_uid, user->pw_gid) == 0) && can_enter(postgres->dir, user)) return true;
    remove_all(postgres->dir);
  }
  postgres->dir[0] = '\0';
  fprintf(stderr, "postgres: no directory that its user can write to\n");
  return false;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static bool init(const tst_postgres *postgres) {
  char data[160];
  int status = -1;
  snprintf(data, sizeof data, "%s/data", postgres->dir);
  char *const args[] = {"initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "-N", NULL};
  pid_t pid = run(postgres, "initdb", args);
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Line 8 of its lock file. */
static bool is_ready(void *data) {
  tst_postgres *postgres = data;
  char path[256], line[256];
  if (waitpid(postgres->pid, NULL, WNOHANG) == postgres->pid) {
    postgres->pid = 0;
    return true; /* no use waiting */
  }
  snprintf(path, sizeof path, "%s/data/postmaster.pid", postgres->dir);
  FILE *file = fopen(path, "re");
  bool ready = false;
  for (int i = 1; file && fgets(line, sizeof line, file); i++)
    if (i == 8) ready = strncmp(line, "ready", 5) == 0;
  if (file) fclose(file);
  return ready;
}

bool tst_postgres_start(tst_postgres *postgres) {
  char data[160];
  snprintf(data, sizeof data, "%s/data", postgres->dir);
  char *const args[] = {"postgres",
                        "-D",
                        data,
                        "-k",
                        postgres->dir,
                        "-c",
                        "listen_addresses=",
                        "-c",
                        "fsync=off",
                        "-c",
                        "max_connections=60",
                        "-c",
                        "shared_buffers=16MB",
                        "-c",
                        "autovacuum=off",
                        "-c",
                        "jit=off",
                        NULL};
  postgres->pid = run(postgres, "postgres", args);
  if (postgres->pid > 0 && tst_wait_until(is_ready, postgres, TST_BOUND_NS) && postgres->pid > 0) return true;
  fprintf(stderr, "postgres: does not start:\n");
  print_log(postgres);
  return false;
}

static bool has_ended(void *data) {
  tst_postgres *postgres = data;
  if (waitpid(postgres->pid, NULL, WNOHANG) != postgres->pid) return false;
  postgres->pid = 0;
  return true;
}

bool tst_postgres_stop(tst_postgres *postgres, int signal) {
  if (postgres->pid <= 0) return true;
  kill(postgres->pid, SIGCONT);
  kill(postgres->pid, signal);
  if (tst_wait_until(has_ended, postgres, TST_BOUND_NS)) return true;
  fprintf(stderr, "postgres: does not stop:\n");
  print_log(postgres);
  return false;
}

bool tst_postgres_open(tst_postgres *postgres) {
  *postgres = (tst_postgres){.pid = 0};
  find_bin(postgres->bin);
  if (!make_dir(postgres)) return false;
  snprintf(postgres->conninfo, sizeof postgres->conninfo, "host=%s user=" USER " dbname=postgres", postgres->dir);
  if (!init(postgres)) {
    fprintf(stderr, "postgres: initdb failed:\n");
    print_log(postgres);
    tst_postgres_close(postgres);
    return false;
  }
  if (tst_postgres_start(postgres)) return true;
  tst_postgres_close(postgres);
  return false;
}

void tst_postgres_close(tst_postgres *postgres) {
  if (!tst_postgres_stop(postgres, SIGINT)) (void)tst_postgres_stop(postgres, SIGQUIT);
  if (postgres->pid > 0) kill(postgres->pid, SIGKILL);
  if (*postgres->dir) remove_all(postgres->dir);
  postgres->dir[0] = '\0';
}
