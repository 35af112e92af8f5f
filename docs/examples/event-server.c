/* SPDX-License-Identifier: MIT */
/*
 * An echo server in C, driven by events: each callback says what became of a call and posts the
 * next one. Usage: flexsc-event-server [PORT [ENGINE]], then: nc localhost 7000
 */
#include <arpa/inet.h>
#include <errno.h>
#include <flexsc/loop.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
  int fd;
  size_t length; /* bytes to send back, */
  size_t sent;   /* of which so many are sent */
  char buffer[4096];
};

static flexsc_callback on_received, on_sent, on_accepted;

static void end(struct connection* connection) {
  close(connection->fd);
  free(connection);
}

static void receive(flexsc_loop* loop, struct connection* connection) {
  if (!flexsc_recv(loop, connection->fd, connection->buffer, sizeof connection->buffer, 0,
                   on_received, connection))
    end(connection);
}

static void send_rest(flexsc_loop* loop, struct connection* connection) {
  if (!flexsc_send(loop, connection->fd, connection->buffer + connection->sent,
                   connection->length - connection->sent, MSG_NOSIGNAL, on_sent, connection))
    end(connection);
}

static void on_received(flexsc_loop* loop, void* token, long result) {
  struct connection* connection = token;
  if (result <= 0) {
    end(connection);
    return;
  }
  connection->length = (size_t)result;
  connection->sent = 0;
  send_rest(loop, connection);
}

static void on_sent(flexsc_loop* loop, void* token, long result) {
  struct connection* connection = token;
  if (result < 0) {
    end(connection);
    return;
  }
  connection->sent += (size_t)result;
  if (connection->sent < connection->length)
    send_rest(loop, connection);
  else
    receive(loop, connection);
}

static void accept_next(flexsc_loop* loop, void* token, long unused) {
  const int* listener = token;
  (void)unused;
  if (!flexsc_accept(loop, *listener, SOCK_CLOEXEC, on_accepted, token)) flexsc_stop(loop);
}

static void on_accepted(flexsc_loop* loop, void* token, long result) {
  if (result >= 0) {
    struct connection* connection = malloc(sizeof *connection);
    if (connection) {
      connection->fd = (int)result;
      receive(loop, connection);
    } else {
      close((int)result);
    }
  } else if (result == -EMFILE || result == -ENFILE || result == -ENOMEM) {
    flexsc_after(loop, 100000000, accept_next, token); /* some may be free again by then */
    return;
  }
  accept_next(loop, token, 0);
}

static int listen_on(unsigned short port) {
  const int on = 1;
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 128) != 0 ||
      getsockname(fd, (struct sockaddr*)&address, &length) != 0) {
    perror("cannot listen");
    exit(1);
  }
  printf("listening on port %d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

int main(int argc, char** argv) {
  const unsigned short port = (unsigned short)(argc > 1 ? atoi(argv[1]) : 7000);
  const struct flexsc_engine_options options = {.kind = argc > 2 ? argv[2] : NULL};
  flexsc_engine* engine = flexsc_engine_open(&options);
  flexsc_loop* loop = engine ? flexsc_loop_open(engine) : NULL;
  int listener = -1;

  if (!loop) {
    fprintf(stderr, "%s\n", flexsc_error());
    return 1;
  }
  listener = listen_on(port);
  accept_next(loop, &listener, 0);
  return flexsc_run(loop) == 0 ? 0 : 1;
}
