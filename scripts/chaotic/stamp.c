// What the many runs of `scripts/chaos --rate` are: it writes its run into the ledger, as the worker in `jobs.py` does,
// and that it is over with it. Static and tiny, so that a run's own cost is the kernel's. No fsync: what is killed is
// the daemon, and what a process has written stays.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words) {
  if (count != 2) return 2;
  const char *run = getenv("KALA_RUN_ID"), *attempt = getenv("KALA_ATTEMPT"), *job = getenv("KALA_JOB_ID");
  const char *moment = getenv("KALA_SCHEDULED_FOR"), *trigger = getenv("KALA_TRIGGER");
  if (!run || !attempt || !job || !moment || !trigger) return 3;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  char text[1024], at[32];
  snprintf(at, sizeof at, "%ld.%06ld", now.tv_sec, now.tv_nsec / 1000);
  int size = snprintf(text, sizeof text, "%s %s %s %s %s %s\nover %s %s %s\n", run, attempt, job, moment, trigger, at,
                      run, attempt, at);
  int ledger = open(words[1], O_WRONLY | O_APPEND);
  return ledger < 0 || write(ledger, text, size) != size;
}
