/*
 * Opens files that are not there, from many processes, in bursts: load RATE SECONDS PROCESSES PATHS DIRECTORY [STEP]
 *
 * RATE a second, from all PROCESSES together each 50 ms. The directory is -DIRECTORY, which tells these calls from
 * all others and makes each of them fail at once. PATHS different ones, or with 0 a new one each time. From one call to
 * the next a process goes STEP paths on: 7 if it is not given, and so to each of 200; with 50 it would see four of them.
 * It says `begins` once all processes wait for the first burst, and goes on when its input ends.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 50000000LL

static void open_files(int number, long each, long bursts, long paths, long step, int directory, struct timespec begin)
{
    static const int flags[] = {O_RDONLY, O_RDONLY | O_CLOEXEC, O_WRONLY | O_CREAT};
    char name[16], path[64];
    unsigned long call = 0;

    snprintf(name, sizeof name, "proc%d", number % 7);
    prctl(PR_SET_NAME, name);
    for (long burst = 0; burst < bursts; burst++) {
        long long ns = begin.tv_nsec + burst * PERIOD_NS;
        struct timespec then = {begin.tv_sec + ns / 1000000000, ns % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL);
        for (long done = 0; done < each; done++, call++) {
            if (paths)
                snprintf(path, sizeof path, "lib/x86_64-linux-gnu/lib%lu.so", (call * step + number) % paths);
            else
                snprintf(path, sizeof path, "lib/x86_64-linux-gnu/lib%d.so.%lu", number, call);
            openat(-directory, path, flags[call % 3], 0);
        }
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    if (argc != 6 && argc != 7)
        return 2;
    long rate = atol(argv[1]), seconds = atol(argv[2]), processes = atol(argv[3]), paths = atol(argv[4]);
    long step = argc > 6 ? atol(argv[6]) : 7;
    int directory = atoi(argv[5]);
    long each = rate / 20 / processes;
    struct timespec begin;

    puts("begins");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    begin.tv_sec += 1;
    for (int number = 0; number < processes; number++)
        if (fork() == 0)
            open_files(number, each, seconds * 20, paths, step, directory, begin);
    while (wait(NULL) > 0)
        ;
    printf("%ld\n", each * seconds * 20 * processes);
    return 0;
}
