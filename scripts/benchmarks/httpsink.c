// What remote jobs call: answers every request on kept connections, and tells of it as `ping` does, by a datagram
// "<last part of the path> <unix seconds>" to 127.0.0.1:PORT.
//
//   httpsink PORT ORIGINS
//
// Prints the ports on which it listens, so many; ends with its standard input.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

int main(int count, char **words) {
  if (count != 3) return 2;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  struct sockaddr_in here = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
  here.sin_addr.s_addr = to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int out = socket(AF_INET, SOCK_DGRAM, 0), poll = epoll_create1(0), first = 0, last = 0, one;
  for (int left = atoi(words[2]); left > 0; left--) {
    int listener = last = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (!first) first = listener;  // those after it have the numbers that follow, as nothing is closed meanwhile
    here.sin_port = 0;
    if (bind(listener, (void *)&here, sizeof here) || listen(listener, 4096)) return 1;
    socklen_t size = sizeof here;
    getsockname(listener, (void *)&here, &size);
    printf("%d ", ntohs(here.sin_port));
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &(struct epoll_event){EPOLLIN, {.fd = listener}});
  }
  puts("");
  fflush(stdout);
  epoll_ctl(poll, EPOLL_CTL_ADD, 0, &(struct epoll_event){EPOLLIN, {.fd = 0}});
  for (;;) {
    struct epoll_event events[256];
    int found = epoll_wait(poll, events, 256, -1);
    for (int n = 0; n < found; n++) {
      int from = events[n].data.fd;
      char text[8192], id[200], told[256];
      if (from == 0) return 0;
      if (from >= first && from <= last) {
        while ((one = accept4(from, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
          epoll_ctl(poll, EPOLL_CTL_ADD, one, &(struct epoll_event){EPOLLIN, {.fd = one}});
        }
        continue;
      }
      int got = recv(from, text, sizeof text - 1, 0);  // a request as small as these comes whole
      if (got <= 0) {
        close(from);
        continue;
      }
      text[got] = 0;
      struct timespec now;
      clock_gettime(CLOCK_REALTIME, &now);
      if (sscanf(text, "%*s /%199[^ ]", id) != 1) return 1;
      int length = snprintf(told, sizeof told, "%s %ld.%09ld", id, now.tv_sec, now.tv_nsec);
      sendto(out, told, length, 0, (void *)&to, sizeof to);
      if (send(from, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) < 0) close(from);
    }
  }
}
