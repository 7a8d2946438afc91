/*
 * burn SECONDS NAME: uses that much CPU time under the command name NAME, 70 % of it in hot() and 30 % in warm().
 * Prints {"cpu": seconds, "hot": seconds, "warm": seconds}, then waits for the end of standard input: as long as it
 * lives, its symbols can be looked up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

static volatile unsigned long sink;

static double cpu(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

/* Two bodies, so that no compiler makes one function of both. */
__attribute__((noinline)) double hot(double until) {
  while (cpu(CLOCK_THREAD_CPUTIME_ID) < until)
    for (int i = 0; i < 2000; i++) sink += i;
  sink += 1;
  return cpu(CLOCK_THREAD_CPUTIME_ID);
}

__attribute__((noinline)) double warm(double until) {
  while (cpu(CLOCK_THREAD_CPUTIME_ID) < until)
    for (int i = 0; i < 2000; i++) sink ^= i;
  sink += 2;
  return cpu(CLOCK_THREAD_CPUTIME_ID);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  prctl(PR_SET_NAME, argv[2]);
  /* Whoever shares a CPU is sampled as chance has it; alone on it, as often as its time says. */
  setpriority(PRIO_PROCESS, 0, -20);
  double begin = cpu(CLOCK_THREAD_CPUTIME_ID), now = begin, in_hot = 0, in_warm = 0;
  /* Many turns between two samples, and no whole number of them: samples fall on all parts of a turn alike. */
  while (now - begin < atof(argv[1])) {
    double end = hot(now + 0.00071);
    in_hot += end - now;
    now = warm(end + 0.00071 * 3 / 7);
    in_warm += now - end;
  }
  printf("{\"cpu\": %.6f, \"hot\": %.6f, \"warm\": %.6f}\n", cpu(CLOCK_PROCESS_CPUTIME_ID), in_hot, in_warm);
  fflush(stdout);
  return getchar() == EOF ? 0 : 1;
}
