// What the measured jobs run: one datagram, "<id> <unix seconds>". Static and tiny, so that a run's own cost is the
// kernel's.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int count, char **words) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  char text[256];
  int size = snprintf(text, sizeof text, "%s %ld.%09ld", count > 2 ? words[2] : "x", now.tv_sec, now.tv_nsec);
  int out = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return sendto(out, text, size, 0, (void *)&to, sizeof to) < 0;
}
