// A disk on which every commit takes SLOW_DISK_MS longer: loaded before libc's own (LD_PRELOAD) into what calls these.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void wait_for_the_disk(void) {
  const char *told = getenv("SLOW_DISK_MS");
  long milliseconds = told ? atol(told) : 0;
  struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&left, &left)) {
  }
}

int fsync(int file) {
  wait_for_the_disk();
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
  wait_for_the_disk();
  return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
