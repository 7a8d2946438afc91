/*
 * allocate NAME: known allocations under the command name NAME, each kind in a function of its own. Prints, by function,
 * {"with_malloc": [calls, bytes], ...}, then waits for the end of standard input. It prints by write(), so that nothing
 * else allocates meanwhile.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define OWN __attribute__((noinline))

static void *kept[64];
static unsigned next;

/* Not too much is kept, and what is freed is not what was allocated last. */
static void keep(void *memory) {
  free(kept[next % 64]);
  kept[next++ % 64] = memory;
}

OWN long with_malloc(int n) {
  long bytes = 0;
  for (int i = 0; i < n; i++) {
    size_t size = 1 + i % 1000;
    keep(malloc(size));
    bytes += size;
  }
  return bytes;
}

OWN long with_big_malloc(int n) {
  long bytes = 0;
  for (int i = 0; i < n; i++) {
    size_t size = 300000 + i;
    keep(malloc(size));
    bytes += size;
  }
  return bytes;
}

OWN long with_calloc(int n) {
  long bytes = 0;
  for (int i = 0; i < n; i++) {
    size_t size = 1 + i % 100;
    keep(calloc(3, size));
    bytes += 3 * size;
  }
  return bytes;
}

OWN long with_realloc(int n) {
  long bytes = 0;
  void *memory = NULL;
  for (int i = 0; i < n; i++) {
    size_t size = 16 + 16 * (i % 500);
    memory = realloc(memory, size);
    bytes += size;
  }
  keep(memory);
  return bytes;
}

OWN long with_memalign(int n) {
  long bytes = 0;
  for (int i = 0; i < n; i++) {
    size_t size = 100 + i % 10;
    keep(memalign(64, size));
    bytes += size;
  }
  return bytes;
}

OWN long with_aligned_alloc(int n) {
  long bytes = 0;
  for (int i = 0; i < n; i++) {
    size_t size = 64 * (1 + i % 10);
    keep(aligned_alloc(64, size));
    bytes += size;
  }
  return bytes;
}

OWN long with_posix_memalign(int n) {
  long bytes = 0;
  for (int i = 0; i < n; i++) {
    size_t size = 200 + i % 10;
    void *memory;
    if (posix_memalign(&memory, 64, size)) exit(1);
    keep(memory);
    bytes += size;
  }
  return bytes;
}

OWN long with_strdup(int n) {
  long bytes = 0;
  for (int i = 0; i < n; i++) {
    keep(strdup("twelve chars"));
    bytes += 13;
  }
  return bytes;
}

static char text[4096];
static int length;

static void tell(const char *name, int calls, long bytes) {
  length += snprintf(text + length, sizeof text - length, "%s\"%s\": [%d, %ld]", length ? ", " : "{", name, calls, bytes);
}

#define RUN(name, calls) tell(#name, calls, name(calls))

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  prctl(PR_SET_NAME, argv[1]);
  RUN(with_malloc, 10000);
  RUN(with_big_malloc, 100);
  RUN(with_calloc, 3000);
  RUN(with_realloc, 2000);
  RUN(with_memalign, 500);
  RUN(with_aligned_alloc, 500);
  RUN(with_posix_memalign, 700);
  RUN(with_strdup, 400);
  length += snprintf(text + length, sizeof text - length, "}\n");
  char byte;
  if (write(1, text, length) != length) return 1;
  return read(0, &byte, 1) == 0 ? 0 : 1;
}
