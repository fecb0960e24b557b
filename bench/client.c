/*
 * The load generator of the benchmark: one thread, epoll, TCP_NODELAY, TLS when built with -DWITH_TLS.
 *
 *   client --mode load    --port P --connections N --seconds S [--warmup S] [--body-bytes B]    closed loop, latency histogram
 *   client --mode streams --port P --connections N --seconds S --rate R [--ramp S]              N streams of R chunks a second
 *   client --mode hold    --port P --connections N --kind idle|streams                          open, report, hold
 *
 * More: --tls, --pids 1,2,3 (processor time of these is read at the exact edges of the window), --path. Headers come from the
 * environment variable BENCH_HEADERS, one per line, so that no key stands in a command line. Prints JSON. Ends early when its
 * standard input ends.
 */
#define _GNU_SOURCE
#include "cpu.h"
#include "histogram.h"
#include "response.h"
#include "socket.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

enum {
  MAX_EVENTS = 256,
  READ_BYTES = 256 * 1024,
  MAX_OPENING = 32,             /* hold mode: connections that are being opened at once */
  MAX_STREAMS_OPENING = 400,    /* and streams: a gateway may hold a stream back until its first content */
  HELD_STREAM_CHUNKS = 1000000, /* hold mode: more than anybody waits for */
  ERRORS_BEFORE_GIVING_UP = 200,
  STREAM_END_GRACE_SECONDS = 5,
  CONNECT_SECONDS = 15,
};

/* How much longer a stream is than the ramp and the window: none may end inside the window, even if it started late. */
static const double STREAM_SLACK_SECONDS = 1;

/* A gap between two chunks of a stream keeps the cadence up to 1.5 times the pace; a stream keeps it with 99 of 100 gaps. */
static const double CADENCE_SLACK = 1.5, CADENCE_SHARE = 0.99;

struct connection {
  struct stream_socket socket;
  struct response response;
  size_t sent_bytes;
  int is_open, is_busy, is_finished;
  uint64_t started_ns;
  /* streams */
  uint64_t last_chunk_ns;
  uint32_t chunks, gaps, late_gaps;
  int has_begun, saw_done, saw_error;
};

static struct {
  const char *mode, *kind, *path;
  int port, connections, rate, use_tls;
  double seconds, warmup, ramp;
  size_t body_bytes;
  int pids[CPU_MAX_PIDS], pid_count;
} options = {.mode = "load", .kind = "idle", .path = "/v1/chat/completions", .connections = 1, .rate = 50, .seconds = 2, .ramp = 1};

static struct connection *connections;
static char *request, read_buffer[READ_BYTES], first_error[400];
static size_t request_length;
static int epoll_fd, is_measuring, is_stopping;
static uint64_t now, errors, finished, chunks_in_window, window_start_ns, window_end_ns;
static struct histogram latency, chunk_delay, first_chunk;
static struct cpu_sample cpu_from, cpu_to;

static uint64_t clock_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000ull + (uint64_t)at.tv_nsec;
}

static int is_mode(const char *mode) { return strcmp(options.mode, mode) == 0; }
static int holds_streams(void) { return is_mode("hold") && strcmp(options.kind, "streams") == 0; }
static uint64_t seconds_to_ns(double seconds) { return (uint64_t)(seconds * 1e9); }
static uint32_t chunks_per_stream(void) { return (uint32_t)(options.rate * (options.ramp + options.seconds + STREAM_SLACK_SECONDS)); }

static void note_error(const char *what, const struct response *r) {
  errors++;
  if (first_error[0]) return;
  size_t length = (size_t)snprintf(first_error, 120, "%s, status %d: ", what, r->status);
  for (size_t i = 0; i < r->head_length && length < sizeof first_error - 1; i++) {
    char byte = r->head[i];
    first_error[length++] = byte < ' ' || byte == '"' || byte == '\\' || byte == 127 ? ' ' : byte;
  }
  first_error[length] = '\0';
}

static void build_request(void) {
  char *headers = getenv("BENCH_HEADERS"), settings[160] = "";
  size_t prompt = options.body_bytes ? options.body_bytes : 32, capacity = prompt + 8192;
  if (is_mode("streams")) {
    snprintf(settings, sizeof settings, "\"stream\":true,\"max_tokens\":%u,\"seed\":%d,", chunks_per_stream(), options.rate);
  } else if (holds_streams()) {
    snprintf(settings, sizeof settings, "\"stream\":true,\"max_tokens\":%d,\"seed\":%d,", HELD_STREAM_CHUNKS, options.rate);
  }
  char *body = malloc(capacity), *at = body;
  request = malloc(capacity * 2);
  if (!body || !request) abort();
  at += sprintf(at, "{\"model\":\"bench\",%s\"messages\":[{\"role\":\"user\",\"content\":\"", settings);
  for (size_t i = 0; i < prompt; i++) *at++ = "Tell me a story about postern gates. "[i % 37];
  at += sprintf(at, "\"}]}");
  request_length = (size_t)sprintf(request,
                                   "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                                   "Content-Length: %zu\r\n",
                                   options.path, options.port, (size_t)(at - body));
  for (char *line = headers ? strtok(headers, "\n") : NULL; line; line = strtok(NULL, "\n")) {
    request_length += (size_t)sprintf(request + request_length, "%s\r\n", line);
  }
  request_length += (size_t)sprintf(request + request_length, "\r\n");
  memcpy(request + request_length, body, (size_t)(at - body));
  request_length += (size_t)(at - body);
  free(body);
}

/* ---- one connection ---- */

static void watch(struct connection *c, int wants_to_write, int operation) {
  struct epoll_event event = {.events = EPOLLIN | (wants_to_write ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(epoll_fd, operation, c->socket.fd, &event);
}

static void close_connection(struct connection *c) {
  socket_close(&c->socket);
  c->is_open = c->is_busy = 0;
}

static void fail(struct connection *c, const char *what) {
  if (!is_stopping) note_error(what, &c->response);
  close_connection(c);
  c->is_finished = 1;
}

static void write_request(struct connection *c) {
  while (c->sent_bytes < request_length) {
    ssize_t sent = socket_write(&c->socket, request + c->sent_bytes, request_length - c->sent_bytes);
    if (sent == SOCKET_AGAIN) {
      watch(c, 1, EPOLL_CTL_MOD);
      return;
    }
    if (sent <= 0) {
      fail(c, "write failed");
      return;
    }
    c->sent_bytes += (size_t)sent;
  }
  watch(c, 0, EPOLL_CTL_MOD);
}

static void open_connection(struct connection *c) {
  if (socket_open(&c->socket, options.port) < 0) {
    fail(c, "connect failed");
    return;
  }
  c->is_open = 1;
  watch(c, 0, EPOLL_CTL_ADD);
}

static void start_request(struct connection *c) {
  c->started_ns = clock_ns();
  if (!c->is_open) open_connection(c);
  if (!c->is_open) return;
  response_reset(&c->response);
  c->sent_bytes = 0;
  c->is_busy = 1;
  c->is_finished = 0;
  write_request(c);
}

/* Notes the arrival of a chunk: `t=` and twenty digits stand in its text. */
static void read_stream_line(void *owner, const char *line, size_t length) {
  struct connection *c = owner;
  if (length < 6 || memcmp(line, "data:", 5) != 0) return;
  c->has_begun = 1;
  const char *stamp = memmem(line, length, "t=", 2);
  if (!stamp || (size_t)(line + length - stamp) < 22) {
    /* The end of an OpenAI stream, or of one in Anthropic's words. */
    if (memmem(line, length, "[DONE]", 6) || memmem(line, length, "message_stop", 12)) c->saw_done = 1;
    if (memmem(line, length, "\"error\"", 7)) c->saw_error = 1;
    return;
  }
  uint64_t sent_ns = 0;
  for (int i = 2; i < 22; i++) sent_ns = sent_ns * 10 + (uint64_t)(stamp[i] - '0');
  if (c->chunks++ == 0) histogram_add(&first_chunk, now - c->started_ns);
  if (is_measuring) {
    chunks_in_window++;
    histogram_add(&chunk_delay, now > sent_ns ? now - sent_ns : 0);
    if (c->last_chunk_ns) {
      c->gaps++;
      if ((double)(now - c->last_chunk_ns) > CADENCE_SLACK * 1e9 / options.rate) c->late_gaps++;
    }
  }
  c->last_chunk_ns = now;
}

static void complete(struct connection *c) {
  c->is_busy = 0;
  c->is_finished = 1;
  finished++;
  if (c->response.status != 200) note_error("refused", &c->response);
  if (is_measuring && c->response.status == 200) histogram_add(&latency, now - c->started_ns);
  if (is_mode("load") && !is_stopping && errors < ERRORS_BEFORE_GIVING_UP) start_request(c);
}

static void read_answer(struct connection *c) {
  while (c->is_open) {
    ssize_t got = socket_read(&c->socket, read_buffer, sizeof read_buffer);
    now = clock_ns();
    if (got == SOCKET_AGAIN) return;
    if (got <= 0) {
      if (c->is_busy) fail(c, got == 0 ? "cut off" : "connection broken");
      else close_connection(c);
      return;
    }
    if (!c->is_busy) continue;
    response_feed(&c->response, read_buffer, (size_t)got, is_mode("load") ? NULL : read_stream_line, c);
    if (c->response.state == BROKEN) fail(c, "not HTTP");
    else if (c->response.state == DONE) complete(c);
    if (c->is_open && !socket_may_hold_more(&c->socket) && (size_t)got < sizeof read_buffer) return;
  }
}

/* Waits for events until a moment and handles them. Ends the program when standard input ends. */
static void run_until(uint64_t until_ns) {
  struct epoll_event events[MAX_EVENTS];
  for (;;) {
    now = clock_ns();
    if (now >= until_ns) return;
    int count = epoll_wait(epoll_fd, events, MAX_EVENTS, (int)((until_ns - now) / 1000000ull) + 1);
    for (int i = 0; i < count; i++) {
      struct connection *c = events[i].data.ptr;
      if (!c) {
        char ignored[64];
        if (read(0, ignored, sizeof ignored) <= 0) is_stopping = 2;
        continue;
      }
      if (c->is_open && c->is_busy && (events[i].events & EPOLLOUT)) write_request(c);
      if (c->is_open && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) read_answer(c);
    }
    if (is_stopping == 2) return;
    if (is_mode("load") && !is_stopping && errors < ERRORS_BEFORE_GIVING_UP) {
      for (int i = 0; errors && i < options.connections; i++) {
        if (!connections[i].is_open) start_request(&connections[i]);
      }
    }
  }
}

static void measure_until(uint64_t until_ns) {
  cpu_take(&cpu_from, options.pids, options.pid_count);
  is_measuring = 1;
  window_start_ns = clock_ns();
  run_until(until_ns);
  window_end_ns = clock_ns();
  is_measuring = 0;
  cpu_take(&cpu_to, options.pids, options.pid_count);
}

static void print_common(double client_seconds) {
  printf("\"seconds\":%.4f,\"errors\":%llu,\"firstError\":\"%s\",\"clientCpu\":%.4f,",
         (double)(window_end_ns - window_start_ns) / 1e9, (unsigned long long)errors, first_error, client_seconds);
  cpu_print(&cpu_from, &cpu_to, options.pids, options.pid_count);
}

static double own_cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- modes ---- */

static void run_load(void) {
  for (int i = 0; i < options.connections; i++) start_request(&connections[i]);
  run_until(clock_ns() + seconds_to_ns(options.warmup));
  double cpu = own_cpu_seconds();
  measure_until(clock_ns() + seconds_to_ns(options.seconds));
  cpu = own_cpu_seconds() - cpu;
  is_stopping = 1;
  printf("{\"mode\":\"load\",\"requests\":%llu,", (unsigned long long)latency.count);
  histogram_print(&latency, "latency");
  printf(",");
  print_common(cpu);
  printf("}\n");
}

/* Connects everybody first, so that handshakes are over before the first stream starts. */
static void connect_all(void) {
  uint64_t give_up = clock_ns() + seconds_to_ns(CONNECT_SECONDS);
  int waiting = 1;
  for (int i = 0; i < options.connections; i++) open_connection(&connections[i]);
  while (waiting && clock_ns() < give_up && is_stopping != 2) {
    run_until(clock_ns() + 5000000);
    waiting = 0;
    for (int i = 0; i < options.connections; i++) {
      struct connection *c = &connections[i];
      if (c->is_open && !socket_is_ready(&c->socket)) waiting++;
    }
  }
}

static int streams_begun(void) {
  int begun = 0;
  for (int i = 0; i < options.connections; i++) begun += connections[i].chunks > 0 || connections[i].is_finished;
  return begun;
}

static void run_streams(void) {
  connect_all();
  uint64_t start = clock_ns();
  for (int i = 0; i < options.connections;) {
    now = clock_ns();
    int due = (int)((double)options.connections * (double)(now - start) / (1e9 * options.ramp)) + 1;
    while (i < due && i < options.connections) start_request(&connections[i++]);
    if (is_stopping == 2) return;
    run_until(now + 1000000);
  }
  uint64_t give_up_begin = clock_ns() + seconds_to_ns(STREAM_SLACK_SECONDS);
  while (streams_begun() < options.connections && clock_ns() < give_up_begin) run_until(clock_ns() + 10000000);
  double cpu = own_cpu_seconds();
  measure_until(clock_ns() + seconds_to_ns(options.seconds));
  cpu = own_cpu_seconds() - cpu;

  double wait_seconds = (double)chunks_per_stream() / options.rate + STREAM_END_GRACE_SECONDS;
  uint64_t give_up = start + seconds_to_ns(options.ramp + wait_seconds);
  int unfinished = 1;
  while (unfinished && clock_ns() < give_up && is_stopping != 2) {
    run_until(clock_ns() + 50000000ull);
    unfinished = 0;
    for (int i = 0; i < options.connections; i++) unfinished += !connections[i].is_finished;
  }
  int kept = 0, whole = 0, truncated = 0, told = 0, miscounted = 0;
  for (int i = 0; i < options.connections; i++) {
    struct connection *c = &connections[i];
    if (c->gaps > 0 && (double)c->late_gaps <= (1 - CADENCE_SHARE) * c->gaps) kept++;
    int ended_well = c->response.state == DONE && c->saw_done && !c->saw_error;
    if (ended_well && c->chunks == chunks_per_stream()) whole++;
    else if (c->saw_error) told++;
    else if (ended_well) miscounted++;
    else truncated++;
  }
  printf("{\"mode\":\"streams\",\"streams\":%d,\"kept\":%d,\"whole\":%d,\"truncated\":%d,\"told\":%d,\"miscounted\":%d,"
         "\"expectedChunks\":%.0f,\"chunks\":%llu,",
         options.connections, kept, whole, truncated, told, miscounted,
         (double)options.connections * options.rate * (double)(window_end_ns - window_start_ns) / 1e9,
         (unsigned long long)chunks_in_window);
  histogram_print(&chunk_delay, "delay");
  printf(",");
  histogram_print(&first_chunk, "firstChunk");
  printf(",");
  print_common(cpu);
  printf("}\n");
}

static int count_ready(int *broken) {
  int ready = 0;
  *broken = 0;
  for (int i = 0; i < options.connections; i++) {
    struct connection *c = &connections[i];
    if (c->is_open && (holds_streams() ? c->has_begun : c->is_finished && c->response.status == 200)) ready++;
    else if (c->is_finished) (*broken)++;
  }
  return ready;
}

static void run_hold(void) {
  uint64_t give_up = clock_ns() + seconds_to_ns(30);
  int started = 0, ready = 0, broken = 0;
  int most_opening = holds_streams() ? MAX_STREAMS_OPENING : MAX_OPENING;
  while (ready + broken < options.connections && clock_ns() < give_up && is_stopping != 2) {
    while (started < options.connections && started - ready - broken < most_opening) start_request(&connections[started++]);
    run_until(clock_ns() + 1000000);
    ready = count_ready(&broken);
  }
  printf("{\"event\":\"ready\",\"open\":%d,\"failed\":%d,\"firstError\":\"%s\"}\n", ready, options.connections - ready, first_error);
  fflush(stdout);
  while (is_stopping != 2) run_until(clock_ns() + 1000000000ull);
  int alive = 0;
  for (int i = 0; i < options.connections; i++) alive += connections[i].is_open;
  printf("{\"event\":\"end\",\"alive\":%d}\n", alive);
}

static void read_options(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    if (strcmp(name, "--tls") == 0) {
      options.use_tls = 1;
      continue;
    }
    if (++i >= argc) break;
    char *value = argv[i];
    if (strcmp(name, "--mode") == 0) options.mode = value;
    else if (strcmp(name, "--kind") == 0) options.kind = value;
    else if (strcmp(name, "--path") == 0) options.path = value;
    else if (strcmp(name, "--port") == 0) options.port = atoi(value);
    else if (strcmp(name, "--connections") == 0) options.connections = atoi(value);
    else if (strcmp(name, "--rate") == 0) options.rate = atoi(value);
    else if (strcmp(name, "--seconds") == 0) options.seconds = atof(value);
    else if (strcmp(name, "--warmup") == 0) options.warmup = atof(value);
    else if (strcmp(name, "--ramp") == 0) options.ramp = atof(value);
    else if (strcmp(name, "--body-bytes") == 0) options.body_bytes = (size_t)atol(value);
    else if (strcmp(name, "--pids") == 0) {
      for (char *pid = strtok(value, ","); pid && options.pid_count < CPU_MAX_PIDS; pid = strtok(NULL, ",")) {
        options.pids[options.pid_count++] = atoi(pid);
      }
    }
  }
  if (options.port <= 0 || options.connections <= 0 || options.rate <= 0) {
    fprintf(stderr, "client: --port, --connections and --rate must be positive\n");
    exit(2);
  }
  options.pids[options.pid_count < CPU_MAX_PIDS ? options.pid_count++ : CPU_MAX_PIDS - 1] = getpid();
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  read_options(argc, argv);
  if (options.use_tls) socket_use_tls();
  build_request();
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event input = {.events = EPOLLIN};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &input);
  connections = calloc((size_t)options.connections, sizeof *connections);
  if (!connections) return 1;
  for (int i = 0; i < options.connections; i++) {
    connections[i].socket.fd = -1;
    connections[i].response.head = malloc(RESPONSE_HEAD_BYTES + 1);
    connections[i].response.line = malloc(RESPONSE_LINE_BYTES);
    if (!connections[i].response.head || !connections[i].response.line) return 1;
  }
  if (is_mode("load")) run_load();
  else if (is_mode("streams")) run_streams();
  else run_hold();
  return 0;
}
