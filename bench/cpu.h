/* What processes and the machine have spent of the processors, from /proc, read at the exact edges of a measured window. */
#ifndef CPU_H
#define CPU_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CPU_MAX_PIDS = 32 };

struct cpu_sample {
  uint64_t ticks[CPU_MAX_PIDS]; /* user + system time of each process, all its threads */
  uint64_t machine_total, machine_idle, machine_steal, machine_interrupts;
};

/* User and system time of a process in clock ticks (10 ms); 0 when it is gone. */
static inline uint64_t cpu_of_process(int pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (!file) return 0;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = '\0';
  unsigned long long user = 0, system = 0;
  char *after_name = strrchr(text, ')');
  if (after_name) sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system);
  return user + system;
}

static inline void cpu_take(struct cpu_sample *sample, const int *pids, int pid_count) {
  for (int i = 0; i < pid_count; i++) sample->ticks[i] = cpu_of_process(pids[i]);
  unsigned long long field[8] = {0};
  FILE *file = fopen("/proc/stat", "r");
  if (file) {
    if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &field[0], &field[1], &field[2], &field[3], &field[4],
               &field[5], &field[6], &field[7]) < 4)
      field[3] = 0;
    fclose(file);
  }
  sample->machine_total = 0;
  for (int i = 0; i < 8; i++) sample->machine_total += field[i];
  sample->machine_idle = field[3] + field[4];
  sample->machine_steal = field[7];
  sample->machine_interrupts = field[5] + field[6];
}

/*
 * Prints `"cpu":{PID:seconds},"machine":{idle,steal,interrupts,foreign,processors}`: shares of the whole machine, and seconds per process.
 * `foreign` is what neither the named processes, interrupts nor idleness explain.
 */
static inline void cpu_print(const struct cpu_sample *from, const struct cpu_sample *to, const int *pids, int pid_count) {
  double per_second = (double)sysconf(_SC_CLK_TCK);
  double total = (double)(to->machine_total - from->machine_total);
  if (total <= 0) total = 1;
  double ours = 0;
  printf("\"cpu\":{");
  for (int i = 0; i < pid_count; i++) {
    double ticks = (double)to->ticks[i] - (double)from->ticks[i];
    ours += ticks;
    printf("%s\"%d\":%.2f", i ? "," : "", pids[i], ticks / per_second);
  }
  double idle = (double)(to->machine_idle - from->machine_idle), steal = (double)(to->machine_steal - from->machine_steal);
  double interrupts = (double)(to->machine_interrupts - from->machine_interrupts);
  double foreign = (total - idle - steal - interrupts - ours) / total;
  printf("},\"machine\":{\"idle\":%.4f,\"steal\":%.4f,\"interrupts\":%.4f,\"foreign\":%.4f,\"processors\":%ld}", idle / total,
         steal / total, interrupts / total, foreign < 0 ? 0 : foreign, sysconf(_SC_NPROCESSORS_ONLN));
}
#endif
