/* Counts of durations in nanoseconds with 1/128 precision (log-linear, as HdrHistogram), up to 2^40 ns = 18 minutes. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H
#include <stdint.h>

enum { HISTOGRAM_SUB = 128, HISTOGRAM_BUCKETS = (41 - 7) * HISTOGRAM_SUB + HISTOGRAM_SUB };

struct histogram {
  uint64_t count, max, sum;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline int histogram_index(uint64_t ns) {
  if (ns < HISTOGRAM_SUB) return (int)ns;
  if (ns >= 1ull << 40) ns = (1ull << 40) - 1;
  int shift = 63 - __builtin_clzll(ns) - 7;
  return (shift + 1) * HISTOGRAM_SUB + (int)((ns >> shift) - HISTOGRAM_SUB);
}

static inline uint64_t histogram_value(int index) {
  if (index < HISTOGRAM_SUB) return (uint64_t)index;
  int shift = index / HISTOGRAM_SUB - 1;
  return ((uint64_t)(index % HISTOGRAM_SUB) + HISTOGRAM_SUB) << shift;
}

static inline void histogram_add(struct histogram *h, uint64_t ns) {
  h->count++;
  h->sum += ns;
  if (ns > h->max) h->max = ns;
  h->buckets[histogram_index(ns)]++;
}

/* The duration that a share of all samples does not exceed; 0 when there are none. */
static inline uint64_t histogram_at(const struct histogram *h, double share) {
  uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;
  if (h->count == 0) return 0;
  if (wanted >= h->count) return h->max;
  for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += h->buckets[i];
    if (seen > wanted) return histogram_value(i);
  }
  return h->max;
}

static inline uint64_t histogram_between(const struct histogram *h, uint64_t from_ns, uint64_t to_ns) {
  uint64_t seen = 0;
  for (int i = histogram_index(from_ns); i < histogram_index(to_ns); i++) seen += h->buckets[i];
  return seen;
}

/*
 * Prints `"name":{count,mean,p50,p90,p99,p999,max,step:[before,at,after]}`, times in microseconds. `step` counts samples of
 * 28-38, 38-48 and 48-58 ms: a delayed acknowledgement that meets Nagle's algorithm shows as a hill in the middle.
 */
static inline void histogram_print(const struct histogram *h, const char *name) {
  const double us = 1000.0;
  printf("\"%s\":{\"count\":%llu,\"mean\":%.2f,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f,"
         "\"step\":[%llu,%llu,%llu]}",
         name, (unsigned long long)h->count, h->count ? (double)h->sum / (double)h->count / us : 0.0,
         (double)histogram_at(h, 0.5) / us, (double)histogram_at(h, 0.9) / us, (double)histogram_at(h, 0.99) / us,
         (double)histogram_at(h, 0.999) / us, (double)h->max / us,
         (unsigned long long)histogram_between(h, 28000000, 38000000),
         (unsigned long long)histogram_between(h, 38000000, 48000000),
         (unsigned long long)histogram_between(h, 48000000, 58000000));
}
#endif
