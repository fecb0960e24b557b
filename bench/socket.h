/* A non-blocking client socket to a loopback port, plain or (with -DWITH_TLS) TLS without verification. */
#ifndef SOCKET_H
#define SOCKET_H
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
static SSL_CTX *tls_context;
#endif

enum { SOCKET_AGAIN = -1, SOCKET_BROKEN = -2 };

struct stream_socket {
  int fd;
#ifdef WITH_TLS
  SSL *tls;
#endif
};

static inline void socket_use_tls(void) {
#ifdef WITH_TLS
  tls_context = SSL_CTX_new(TLS_client_method());
  if (!tls_context) abort();
  SSL_CTX_set_verify(tls_context, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#else
  fprintf(stderr, "built without TLS\n");
  exit(2);
#endif
}

/* Connects (this part blocks: on loopback it is at once); the TLS handshake begins, and goes on inside reads and writes. */
static inline int socket_open(struct stream_socket *s, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1;
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s->fd < 0) return -1;
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(s->fd, (struct sockaddr *)&address, sizeof address) < 0) {
    close(s->fd);
    s->fd = -1;
    return -1;
  }
  fcntl(s->fd, F_SETFL, O_NONBLOCK);
#ifdef WITH_TLS
  s->tls = NULL;
  if (tls_context) {
    s->tls = SSL_new(tls_context);
    if (!s->tls) abort();
    SSL_set_fd(s->tls, s->fd);
    SSL_set_connect_state(s->tls);
    SSL_do_handshake(s->tls);
  }
#endif
  return 0;
}

#ifdef WITH_TLS
static inline ssize_t tls_result(struct stream_socket *s, int result) {
  if (result > 0) return result;
  int error = SSL_get_error(s->tls, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return SOCKET_AGAIN;
  return error == SSL_ERROR_ZERO_RETURN ? 0 : SOCKET_BROKEN;
}
#endif

/* Bytes read, 0 at the end, SOCKET_AGAIN or SOCKET_BROKEN. */
static inline ssize_t socket_read(struct stream_socket *s, char *into, size_t length) {
#ifdef WITH_TLS
  if (s->tls) return tls_result(s, SSL_read(s->tls, into, (int)length));
#endif
  ssize_t got = recv(s->fd, into, length, 0);
  return got >= 0 ? got : errno == EAGAIN ? SOCKET_AGAIN : SOCKET_BROKEN;
}

/* Bytes written, SOCKET_AGAIN or SOCKET_BROKEN. */
static inline ssize_t socket_write(struct stream_socket *s, const char *bytes, size_t length) {
#ifdef WITH_TLS
  if (s->tls) return tls_result(s, SSL_write(s->tls, bytes, (int)length));
#endif
  ssize_t sent = send(s->fd, bytes, length, MSG_NOSIGNAL);
  return sent >= 0 ? sent : errno == EAGAIN ? SOCKET_AGAIN : SOCKET_BROKEN;
}

/* Whether bytes may wait inside the TLS library, where epoll does not see them. */
static inline int socket_may_hold_more(const struct stream_socket *s) {
#ifdef WITH_TLS
  return s->tls != NULL;
#else
  (void)s;
  return 0;
#endif
}

/* Whether bytes can be sent: the handshake is over. */
static inline int socket_is_ready(const struct stream_socket *s) {
#ifdef WITH_TLS
  return !s->tls || SSL_is_init_finished(s->tls);
#else
  return s->fd >= 0;
#endif
}

static inline void socket_close(struct stream_socket *s) {
  if (s->fd < 0) return;
#ifdef WITH_TLS
  if (s->tls) SSL_free(s->tls);
  s->tls = NULL;
#endif
  close(s->fd);
  s->fd = -1;
}
#endif
