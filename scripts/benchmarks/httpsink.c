// What remote jobs call: answers every request on kept connections, and tells of it as `ping` does, by a datagram
// "<last part of the path> <unix seconds>" to 127.0.0.1:PORT.
//
//   httpsink PORT
//
// Prints the port on which it listens; ends with its standard input.
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
  if (count != 2) return 2;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  struct sockaddr_in here = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
  here.sin_addr.s_addr = to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int out = socket(AF_INET, SOCK_DGRAM, 0), listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(listener, (void *)&here, sizeof here) || listen(listener, 4096)) return 1;
  socklen_t size = sizeof here;
  getsockname(listener, (void *)&here, &size);
  printf("%d\n", ntohs(here.sin_port));
  fflush(stdout);
  int poll = epoll_create1(0), one;
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &(struct epoll_event){EPOLLIN, {.fd = listener}});
  epoll_ctl(poll, EPOLL_CTL_ADD, 0, &(struct epoll_event){EPOLLIN, {.fd = 0}});
  for (;;) {
    struct epoll_event events[256];
    int found = epoll_wait(poll, events, 256, -1);
    for (int n = 0; n < found; n++) {
      int from = events[n].data.fd;
      char text[8192], id[200], told[256];
      if (from == 0) return 0;
      if (from == listener) {
        while ((one = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
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
