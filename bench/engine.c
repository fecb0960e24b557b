/*
 * The engine of the benchmark: an OpenAI-compatible server that costs next to nothing, so that what is measured is what stands
 * in front of it. One thread, epoll, HTTP/1.1 keep-alive, TCP_NODELAY.
 *
 * POST /v1/chat/completions  without "stream": a fixed answer with usage, at once.
 *                            with "stream": true: server-sent chunks at a set pace. Settings come in the body, because a gateway
 *                            forwards bodies and drops headers: "max_tokens" = number of chunks, "seed" = chunks per second.
 *                            Each chunk carries the CLOCK_MONOTONIC nanosecond at which it was written: "t=0000...".
 * GET  /v1/models            one model, "bench".      GET /health  200, empty.      Anything else: 404.
 *
 * Listens on a free loopback port, prints {"port":N}, ends when its standard input ends (so it never outlives the benchmark).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
  MAX_EVENTS = 256,
  MAX_HEAD_BYTES = 64 * 1024,
  MAX_REQUEST_BYTES = 64 * 1024 * 1024,
  MAX_UNSENT_BYTES = 1024 * 1024, /* a reader that is further behind than this is cut */
  SETTINGS_WINDOW_BYTES = 1024,   /* settings are looked for this close to either end of the body, never in the prompt */
};

static const char CHUNK_BEFORE_TEXT[] =
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\","
    "\"choices\":[{\"index\":0,\"delta\":{";
static const char CHUNK_USAGE_BEFORE[] =
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\","
    "\"choices\":[],\"usage\":";
static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char ANSWER[] =
    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"The quick brown fox jumps over the lazy dog.\"},\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":10,\"total_tokens\":22}}";
static const char MODELS[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"bench\"}]}";

struct connection {
  int fd;
  char *in;
  size_t in_length, in_capacity;
  char *out;
  size_t out_length, out_capacity;
  int is_waiting_to_write;
  /* the request being read */
  size_t head_length; /* 0 until the head is complete */
  size_t content_length;
  int is_chunked;
  size_t chunk_cursor, decoded_length; /* where in `in` the next chunk header starts, how much body is decoded in place */
  /* the stream being written; heap_index is -1 when there is none */
  int heap_index, wants_usage;
  uint64_t due_ns, interval_ns;
  uint32_t sent, count;
};

static int epoll_fd, timer_fd;
static struct connection **heap;
static int heap_length, heap_capacity;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void *grow(void *memory, size_t *capacity, size_t needed, size_t unit) {
  if (needed <= *capacity) return memory;
  size_t next = *capacity ? *capacity : 64;
  while (next < needed) next *= 2;
  memory = realloc(memory, next * unit);
  if (!memory) abort();
  *capacity = next;
  return memory;
}

/* ---- streams by due time: a binary heap ---- */

static void heap_place(int index, struct connection *c) {
  heap[index] = c;
  c->heap_index = index;
}

static void heap_up(int index) {
  struct connection *c = heap[index];
  while (index > 0 && heap[(index - 1) / 2]->due_ns > c->due_ns) {
    heap_place(index, heap[(index - 1) / 2]);
    index = (index - 1) / 2;
  }
  heap_place(index, c);
}

static void heap_down(int index) {
  struct connection *c = heap[index];
  for (;;) {
    int child = index * 2 + 1;
    if (child >= heap_length) break;
    if (child + 1 < heap_length && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
    if (heap[child]->due_ns >= c->due_ns) break;
    heap_place(index, heap[child]);
    index = child;
  }
  heap_place(index, c);
}

static void heap_add(struct connection *c) {
  size_t capacity = (size_t)heap_capacity;
  heap = grow(heap, &capacity, (size_t)heap_length + 1, sizeof *heap);
  heap_capacity = (int)capacity;
  heap[heap_length] = c;
  heap_up(heap_length++);
}

static void heap_remove(struct connection *c) {
  int index = c->heap_index;
  if (index < 0) return;
  c->heap_index = -1;
  struct connection *last = heap[--heap_length];
  if (last == c) return;
  heap_place(index, last);
  heap_up(index);
  heap_down(last->heap_index);
}

static void arm_timer(void) {
  struct itimerspec when = {0};
  if (heap_length > 0) {
    when.it_value.tv_sec = (time_t)(heap[0]->due_ns / 1000000000ull);
    when.it_value.tv_nsec = (long)(heap[0]->due_ns % 1000000000ull);
  }
  timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- connections ---- */

static void close_connection(struct connection *c) {
  heap_remove(c);
  close(c->fd);
  free(c->in);
  free(c->out);
  c->fd = -1;
  free(c);
}

static void watch_writes(struct connection *c, int wanted) {
  if (c->is_waiting_to_write == wanted) return;
  c->is_waiting_to_write = wanted;
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (wanted ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

/* Returns 0, or -1 when the connection has to be closed (by the caller). */
static int send_bytes(struct connection *c, const char *bytes, size_t length) {
  if (c->out_length == 0) {
    ssize_t sent = send(c->fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return -1;
    if (sent > 0) bytes += sent, length -= (size_t)sent;
    if (length == 0) return 0;
  }
  if (c->out_length + length > MAX_UNSENT_BYTES) return -1;
  c->out = grow(c->out, &c->out_capacity, c->out_length + length, 1);
  memcpy(c->out + c->out_length, bytes, length);
  c->out_length += length;
  watch_writes(c, 1);
  return 0;
}

static int flush(struct connection *c) {
  ssize_t sent = send(c->fd, c->out, c->out_length, MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN ? 0 : -1;
  memmove(c->out, c->out + sent, c->out_length - (size_t)sent);
  c->out_length -= (size_t)sent;
  if (c->out_length == 0) watch_writes(c, 0);
  return 0;
}

static int send_answer(struct connection *c, const char *status, const char *type, const char *body) {
  char answer[2048];
  int length = snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", status, type,
                        strlen(body), body);
  return send_bytes(c, answer, (size_t)length);
}

static size_t frame(char *into, size_t capacity, const char *event) {
  return (size_t)snprintf(into, capacity, "%zx\r\n%s\r\n", strlen(event), event);
}

/* Streams start at a random point of their pace (xorshift, fixed seed): requests that came together must not tick together. */
static uint64_t next_random(void) {
  static uint64_t state = 88172645463325252ull;
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}

static int start_stream(struct connection *c, uint32_t count, uint32_t per_second) {
  char event[512], bytes[1024];
  c->sent = 0;
  c->count = count;
  c->interval_ns = 1000000000ull / (per_second ? per_second : 1);
  c->due_ns = now_ns() + c->interval_ns / 2 + next_random() % c->interval_ns;
  snprintf(event, sizeof event, "%s\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n", CHUNK_BEFORE_TEXT);
  memcpy(bytes, STREAM_HEAD, sizeof STREAM_HEAD - 1);
  size_t length = sizeof STREAM_HEAD - 1;
  length += frame(bytes + length, sizeof bytes - length, event);
  heap_add(c);
  return send_bytes(c, bytes, length);
}

static int send_chunk(struct connection *c) {
  char event[512], bytes[640];
  snprintf(event, sizeof event, "%s\"content\":\"t=%020llu \"},\"finish_reason\":null}]}\n\n", CHUNK_BEFORE_TEXT,
           (unsigned long long)now_ns());
  c->sent++;
  return send_bytes(c, bytes, frame(bytes, sizeof bytes, event));
}

static int end_stream(struct connection *c) {
  char event[512], bytes[1536];
  snprintf(event, sizeof event, "%s},\"finish_reason\":\"stop\"}]}\n\n", CHUNK_BEFORE_TEXT);
  size_t length = frame(bytes, sizeof bytes, event);
  if (c->wants_usage) {
    snprintf(event, sizeof event, "%s{\"prompt_tokens\":12,\"completion_tokens\":%u,\"total_tokens\":%u}}\n\n",
             CHUNK_USAGE_BEFORE, c->count, c->count + 12);
    length += frame(bytes + length, sizeof bytes - length, event);
  }
  length += frame(bytes + length, sizeof bytes - length, "data: [DONE]\n\n");
  length += (size_t)snprintf(bytes + length, sizeof bytes - length, "0\r\n\r\n");
  return send_bytes(c, bytes, length);
}

/* ---- requests ---- */

static const char *find_setting(const char *body, size_t length, const char *name) {
  size_t window = length < SETTINGS_WINDOW_BYTES ? length : SETTINGS_WINDOW_BYTES;
  char needle[64];
  int needle_length = snprintf(needle, sizeof needle, "\"%s\":", name);
  const char *found = memmem(body, window, needle, (size_t)needle_length);
  if (!found) found = memmem(body + length - window, window, needle, (size_t)needle_length);
  if (!found) return NULL;
  found += needle_length;
  while (found < body + length && *found == ' ') found++;
  return found;
}

static int is_true(const char *body, size_t length, const char *name) {
  const char *value = find_setting(body, length, name);
  return value && value + 4 <= body + length && memcmp(value, "true", 4) == 0;
}

static uint32_t read_number(const char *body, size_t length, const char *name, uint32_t otherwise) {
  const char *value = find_setting(body, length, name);
  if (!value || *value < '0' || *value > '9') return otherwise;
  uint32_t number = 0;
  for (; value < body + length && *value >= '0' && *value <= '9'; value++) number = number * 10 + (uint32_t)(*value - '0');
  return number;
}

static int answer(struct connection *c, const char *body, size_t length) {
  const char *json = "application/json";
  if (strncmp(c->in, "POST /v1/chat/completions ", 26) == 0) {
    if (!is_true(body, length, "stream")) return send_answer(c, "200 OK", json, ANSWER);
    c->wants_usage = is_true(body, length, "include_usage");
    uint32_t chunks = read_number(body, length, "max_tokens", read_number(body, length, "max_completion_tokens", 16));
    return start_stream(c, chunks, read_number(body, length, "seed", 50));
  }
  if (strncmp(c->in, "GET /v1/models ", 15) == 0) return send_answer(c, "200 OK", json, MODELS);
  if (strncmp(c->in, "GET /health ", 12) == 0) return send_answer(c, "200 OK", json, "");
  return send_answer(c, "404 Not Found", json, "{\"detail\":\"Not Found\"}");
}

static const char *find_header(const struct connection *c, const char *name) {
  size_t name_length = strlen(name);
  for (const char *line = c->in; line; line = strstr(line, "\r\n")) {
    if (*line == '\r') line += 2;
    if (line >= c->in + c->head_length) return NULL;
    if (strncasecmp(line, name, name_length) == 0) return line + name_length;
  }
  return NULL;
}

/* Decodes a chunked body in place. 1 = complete, 0 = more to come, -1 = broken. */
static int decode_chunks(struct connection *c) {
  for (;;) {
    char *start = c->in + c->chunk_cursor, *end = memmem(start, c->in_length - c->chunk_cursor, "\r\n", 2);
    if (!end) return 0;
    size_t size = strtoul(start, NULL, 16), header = (size_t)(end - start) + 2;
    if (size > MAX_REQUEST_BYTES) return -1;
    if (c->in_length - c->chunk_cursor < header + size + 2) return 0;
    memmove(c->in + c->head_length + c->decoded_length, start + header, size);
    c->decoded_length += size;
    c->chunk_cursor += header + size + 2;
    if (size == 0) return 1;
  }
}

/* Answers every complete request in the buffer. Returns -1 when the connection has to be closed. */
static int read_requests(struct connection *c) {
  while (c->in_length > 0 && c->heap_index < 0) {
    if (c->head_length == 0) {
      char *end = memmem(c->in, c->in_length, "\r\n\r\n", 4);
      if (!end) return c->in_length > MAX_HEAD_BYTES ? -1 : 0;
      c->head_length = (size_t)(end - c->in) + 4;
      *(end + 2) = '\0'; /* so that find_header stops; the byte is not read again */
      const char *length = find_header(c, "content-length:");
      c->content_length = length ? strtoul(length, NULL, 10) : 0;
      c->is_chunked = find_header(c, "transfer-encoding:") != NULL;
      c->chunk_cursor = c->head_length;
      c->decoded_length = 0;
      if (c->content_length > MAX_REQUEST_BYTES) return -1;
    }
    size_t used;
    if (c->is_chunked) {
      int decoded = decode_chunks(c);
      if (decoded <= 0) return decoded;
      used = c->chunk_cursor;
      c->content_length = c->decoded_length;
    } else {
      used = c->head_length + c->content_length;
      if (c->in_length < used) return 0;
    }
    if (answer(c, c->in + c->head_length, c->content_length) < 0) return -1;
    memmove(c->in, c->in + used, c->in_length - used);
    c->in_length -= used;
    c->head_length = 0;
  }
  return 0;
}

static int read_bytes(struct connection *c) {
  for (;;) {
    size_t wanted = c->head_length ? c->head_length + c->content_length : 0;
    size_t room = c->in_length + 16384 > wanted ? c->in_length + 16384 : wanted;
    c->in = grow(c->in, &c->in_capacity, room + 1, 1);
    ssize_t got = recv(c->fd, c->in + c->in_length, c->in_capacity - c->in_length - 1, 0);
    if (got == 0) return -1;
    if (got < 0) return errno == EAGAIN ? 0 : -1;
    c->in_length += (size_t)got;
    c->in[c->in_length] = '\0';
    if (c->in_length > MAX_REQUEST_BYTES + MAX_HEAD_BYTES || read_requests(c) < 0) return -1;
  }
}

static void accept_connections(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->fd = fd;
    c->heap_index = -1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}

static void send_due_chunks(void) {
  uint64_t now = now_ns();
  while (heap_length > 0 && heap[0]->due_ns <= now) {
    struct connection *c = heap[0];
    int result;
    if (c->sent < c->count) {
      result = send_chunk(c);
      c->due_ns += c->interval_ns;
      heap_down(0);
    } else {
      heap_remove(c);
      result = end_stream(c);
    }
    if (result < 0) {
      /* Only shut down here: the event loop may still hold this connection in its current batch. */
      heap_remove(c);
      shutdown(c->fd, SHUT_RDWR);
    }
  }
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t address_length = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0 ||
      getsockname(listener, (struct sockaddr *)&address, &address_length) < 0) {
    perror("listen");
    return 1;
  }
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  event.data.ptr = &timer_fd;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
  static int input = 0;
  event.data.ptr = &input;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, input, &event);
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);

  struct epoll_event events[MAX_EVENTS];
  for (;;) {
    int count = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == &listener) {
        accept_connections(listener);
      } else if (events[i].data.ptr == &timer_fd) {
        uint64_t expirations;
        if (read(timer_fd, &expirations, sizeof expirations) > 0) send_due_chunks();
      } else if (events[i].data.ptr == &input) {
        char ignored[64];
        if (read(input, ignored, sizeof ignored) <= 0) return 0;
      } else {
        struct connection *c = events[i].data.ptr;
        int broken = (events[i].events & (EPOLLHUP | EPOLLERR)) != 0;
        if (!broken && (events[i].events & EPOLLOUT)) broken = flush(c) < 0;
        if (!broken && (events[i].events & (EPOLLIN | EPOLLRDHUP))) broken = read_bytes(c) < 0;
        if (broken) close_connection(c);
      }
    }
    arm_timer();
  }
}
