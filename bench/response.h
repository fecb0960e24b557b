/* Reads HTTP/1.1 answers from bytes as they come, and the lines of a server-sent stream inside them. */
#ifndef RESPONSE_H
#define RESPONSE_H
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { RESPONSE_HEAD_BYTES = 8192, RESPONSE_LINE_BYTES = 2048 };

enum response_state { READ_HEAD, READ_LENGTH, READ_CHUNK_SIZE, READ_CHUNK, READ_CHUNK_END, READ_TRAILER, READ_TO_CLOSE, DONE, BROKEN };

struct response {
  enum response_state state;
  int status;
  uint64_t remaining;
  size_t head_length, line_length, trailer_length;
  char *head; /* bounded scratch, also the first bytes of an error's body */
  char *line; /* the line of the stream that is being collected */
};

/* Called for each complete line of a body. */
typedef void (*line_reader)(void *owner, const char *line, size_t length);

static inline void response_reset(struct response *r) {
  r->state = READ_HEAD;
  r->status = 0;
  r->remaining = 0;
  r->head_length = 0;
  r->line_length = 0;
  r->trailer_length = 0;
}

static inline void response_lines(struct response *r, const char *bytes, size_t length, line_reader read_line, void *owner) {
  while (length > 0) {
    const char *end = memchr(bytes, '\n', length);
    size_t part = end ? (size_t)(end - bytes) : length;
    size_t room = RESPONSE_LINE_BYTES - r->line_length, kept = part < room ? part : room;
    memcpy(r->line + r->line_length, bytes, kept);
    r->line_length += kept;
    if (!end) return;
    read_line(owner, r->line, r->line_length);
    r->line_length = 0;
    bytes += part + 1;
    length -= part + 1;
  }
}

static inline void response_head(struct response *r) {
  r->head[r->head_length] = '\0';
  r->status = r->head_length > 12 ? atoi(r->head + 9) : 0;
  r->state = READ_TO_CLOSE;
  for (char *line = strstr(r->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
    if (strncasecmp(line + 2, "content-length:", 15) == 0) {
      r->remaining = strtoull(line + 17, NULL, 10);
      r->state = r->remaining > 0 ? READ_LENGTH : DONE;
    } else if (strncasecmp(line + 2, "transfer-encoding:", 18) == 0) {
      r->state = READ_CHUNK_SIZE;
    }
  }
  r->head_length = 0;
}

/* Consumes bytes until the answer is complete or they end; returns how many were used. `state` says what happened. */
static inline size_t response_feed(struct response *r, const char *bytes, size_t length, line_reader read_line, void *owner) {
  size_t used = 0;
  while (used < length && r->state != DONE && r->state != BROKEN) {
    const char *at = bytes + used;
    size_t left = length - used;
    if (r->state == READ_LENGTH || r->state == READ_CHUNK || r->state == READ_TO_CLOSE) {
      size_t part = r->state == READ_TO_CLOSE || left < r->remaining ? left : (size_t)r->remaining;
      if (r->status != 200) { /* keep the start of an error's body to show it */
        size_t room = RESPONSE_HEAD_BYTES - r->head_length, kept = part < room ? part : room;
        memcpy(r->head + r->head_length, at, kept);
        r->head_length += kept;
      } else if (read_line) {
        response_lines(r, at, part, read_line, owner);
      }
      used += part;
      if (r->state == READ_TO_CLOSE) continue;
      r->remaining -= part;
      if (r->remaining == 0) r->state = r->state == READ_LENGTH ? DONE : READ_CHUNK_END;
      continue;
    }
    char byte = *at;
    used++;
    switch (r->state) {
      case READ_HEAD:
        if (r->head_length == RESPONSE_HEAD_BYTES) r->state = BROKEN;
        else r->head[r->head_length++] = byte;
        if (byte == '\n' && r->head_length >= 4 && memcmp(r->head + r->head_length - 4, "\r\n\r\n", 4) == 0) response_head(r);
        break;
      case READ_CHUNK_SIZE:
        if (byte >= '0' && byte <= '9') r->remaining = r->remaining * 16 + (uint64_t)(byte - '0');
        else if ((byte | 32) >= 'a' && (byte | 32) <= 'f') r->remaining = r->remaining * 16 + (uint64_t)((byte | 32) - 'a' + 10);
        else if (byte == '\n') r->state = r->remaining > 0 ? READ_CHUNK : READ_TRAILER;
        else if (byte != '\r') r->state = BROKEN;
        break;
      case READ_CHUNK_END:
        if (byte == '\n') r->state = READ_CHUNK_SIZE;
        break;
      case READ_TRAILER:
        if (byte == '\n' && r->trailer_length == 0) r->state = DONE;
        else if (byte != '\r') r->trailer_length = byte == '\n' ? 0 : r->trailer_length + 1;
        break;
      default:
        break;
    }
  }
  return used;
}
#endif
