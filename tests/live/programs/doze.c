/*
 * doze COUNT MILLISECONDS NAME: under the command name NAME so many sleeps in doze(), and half as many waits for a pipe,
 * in await(), to which a child writes after so long. Prints the nanoseconds that passed in each, then waits for the end
 * of standard input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* libc's functions set up no frame pointer, so stacks leave out who calls them: these two. */
__attribute__((noinline)) static void get(int descriptor) {
  char byte;
  if (read(descriptor, &byte, 1) != 1) exit(1);
}

__attribute__((noinline)) static void nap(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&time, NULL);
}

__attribute__((noinline)) long long doze(long milliseconds) {
  long long begin = now();
  nap(milliseconds);
  return now() - begin;
}

__attribute__((noinline)) long long await(int descriptor) {
  long long begin = now();
  get(descriptor);
  return now() - begin;
}

static void answer(int requests, int answers, int count, long milliseconds) {
  char byte;
  prctl(PR_SET_NAME, "answers");
  for (int i = 0; i < count; i++) {
    if (read(requests, &byte, 1) != 1) _exit(1);
    nap(milliseconds);
    if (write(answers, &byte, 1) != 1) _exit(1);
  }
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int count = atoi(argv[1]), requests[2], answers[2];
  long milliseconds = atol(argv[2]);
  long long dozed = 0, awaited = 0;
  if (pipe(requests) || pipe(answers)) return 1;
  if (fork() == 0) answer(requests[0], answers[1], count / 2, milliseconds);
  prctl(PR_SET_NAME, argv[3]);
  for (int i = 0; i < count; i++) dozed += doze(milliseconds);
  for (int i = 0; i < count / 2; i++) {
    if (write(requests[1], "x", 1) != 1) return 1;
    awaited += await(answers[0]);
  }
  wait(NULL);
  printf("{\"doze\": %lld, \"await\": %lld}\n", dozed, awaited);
  fflush(stdout);
  return getchar() == EOF ? 0 : 1;
}
