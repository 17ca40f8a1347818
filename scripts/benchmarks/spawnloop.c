// The floor for starting programs: two processes, each of which starts the program and waits for its end, again and
// again.
//
//   spawnloop SECONDS PROGRAM ARGUMENT…
//
// Prints how many have ended a second, of both.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

int main(int count, char **words) {
  if (count < 3) return 2;
  double seconds = atof(words[1]), rate = 0;
  int results[2];
  if (pipe(results)) return 1;
  for (int half = 0; half < 2; half++) {
    if (fork()) continue;
    int ended = 0, status;
    double began = now(), at;
    do {
      pid_t child;
      if (posix_spawn(&child, words[2], NULL, NULL, words + 2, environ)) _exit(1);
      if (waitpid(child, &status, 0) != child || status) _exit(1);
      ended++;
    } while ((at = now()) < began + seconds);
    double own = ended / (at - began);
    _exit(write(results[1], &own, sizeof own) != sizeof own);
  }
  for (int half = 0; half < 2; half++) {
    double own;
    int status;
    if (wait(&status) < 0 || status || read(results[0], &own, sizeof own) != sizeof own) return 1;
    rate += own;
  }
  printf("%.1f\n", rate);
}
