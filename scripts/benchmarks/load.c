// Asks one question again and again over kept connections, one at a time on each, and tells how that went:
//
//   load PORT CONNECTIONS SECONDS COUNT FILE
//
// FILE is a whole HTTP/1.1 request to 127.0.0.1; each "@@@@@@@@" in it becomes the request's number, in eight digits.
// Ends after so many seconds, or with the COUNTth answer when COUNT is not 0. Prints one line: answers, seconds, p50 and
// p99 in ms, seconds of the first tenth and of the last, answers that were not 2xx. One thread, so that the server has
// the rest of the machine.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 18, MOST = 1 << 22 };
struct connection {
  int socket;
  double asked;
  int size;
  char answer[ROOM + 1];
};

static char request[1 << 16];
static int length, number, marks;
static char *places[64];
static double took[MOST], ended[MOST];

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

static void die(const char *why) {
  perror(why);
  exit(1);
}

static void ask(struct connection *one) {
  char digits[9];
  snprintf(digits, sizeof digits, "%08d", number++);
  for (int mark = 0; mark < marks; mark++) memcpy(places[mark], digits, 8);
  one->size = 0;
  one->asked = now();
  if (send(one->socket, request, length, 0) != length) die("send");
}

// Whether what has come is a whole answer: by its Content-Length, or by the last chunk.
static int is_whole(struct connection *one) {
  one->answer[one->size] = 0;
  char *body = strstr(one->answer, "\r\n\r\n");
  if (!body) return 0;
  body += 4;
  char *told = strcasestr(one->answer, "\r\ncontent-length:");
  if (told && told < body) return one->size >= body - one->answer + atol(told + 17);
  return one->size > 5 && !memcmp(one->answer + one->size - 5, "0\r\n\r\n", 5);
}

static int by_size(const void *a, const void *b) {
  return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}

int main(int count, char **words) {
  if (count != 6) return 2;
  int connections = atoi(words[2]), wanted = atoi(words[4]), answers = 0, bad = 0, busy = 0;
  double seconds = atof(words[3]);
  FILE *file = fopen(words[5], "r");
  if (!file) die(words[5]);
  length = fread(request, 1, sizeof request, file);
  for (char *at = request; (at = memmem(at, request + length - at, "@@@@@@@@", 8)) && marks < 64; at += 8)
    places[marks++] = at;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int poll = epoll_create1(0);
  struct connection *all = calloc(connections, sizeof *all);
  for (int n = 0; n < connections; n++) {
    all[n].socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(all[n].socket, (void *)&to, sizeof to)) die("connect");
    setsockopt(all[n].socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    epoll_ctl(poll, EPOLL_CTL_ADD, all[n].socket, &(struct epoll_event){EPOLLIN, {.ptr = &all[n]}});
  }
  double began = now(), until = began + seconds;
  for (int n = 0; n < connections; n++, busy++) {
    ask(&all[n]);
  }
  while (busy) {
    struct epoll_event events[256];
    int found = epoll_wait(poll, events, 256, 30000);
    if (found <= 0) die("no answer for 30 s");
    for (int n = 0; n < found; n++) {
      struct connection *one = events[n].data.ptr;
      int got = recv(one->socket, one->answer + one->size, ROOM - one->size, 0);
      if (got <= 0) die("the connection was closed");
      one->size += got;
      if (!is_whole(one)) continue;
      double at = now();
      took[answers] = at - one->asked;
      ended[answers++] = at;
      if (one->size < 10 || one->answer[9] != '2') {
        if (!bad++) fprintf(stderr, "%.300s\n", one->answer);
      }
      if (at > until || answers == MOST - connections || (wanted && number >= wanted)) {
        busy--;
        continue;
      }
      ask(one);
    }
  }
  int tenth = answers / 10 ? answers / 10 : 1;
  double first = ended[tenth - 1] - began, last = ended[answers - 1] - ended[answers - tenth];
  double all_of_it = ended[answers - 1] - began;
  qsort(took, answers, sizeof *took, by_size);
  printf("%d %.6f %.4f %.4f %.6f %.6f %d\n", answers, all_of_it, took[answers / 2] * 1e3,
         took[(int)(answers * 0.99)] * 1e3, first, last, bad);
}
