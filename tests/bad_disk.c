/* A disk that fails or is slow when told so, for one program: LD_PRELOAD. tests/bad_disk.py is its other half.

   BAD_DISK_PART     the files whose path contains this are on the bad disk
   BAD_DISK_CONTROL  a file that holds `struct control`. It is mapped, so that whoever writes into it switches the disk
                     while the program runs, and a call that is not armed costs no more than a look into memory.

   Here are all the calls by which SQLite 3.40 and CPython 3.11 write and sync (seen by strace; what SQLite maps, the
   -shm file, is never synced). A call that fails does nothing; one that is slow does its work afterwards. No heap. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    int32_t fsync_errno, fsync_ms; /* 0: does not fail; is not slow */
    int32_t write_errno, write_ms;
    int32_t left;   /* how many calls may still fail; -1: without end */
    int32_t failed; /* counted here: how many did */
};

static volatile struct control *control;
static const char *part;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("BAD_DISK_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    part = getenv("BAD_DISK_PART");
    if (mapped == MAP_FAILED || !part) {
        perror("bad_disk: BAD_DISK_PART is not set, or BAD_DISK_CONTROL cannot be mapped");
        _exit(127);
    }
    close(fd);
    control = mapped;
}

static int on_the_bad_disk(int fd) {
    char link[32], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, part) != NULL;
}

/* Whether the call is to fail, with errno as it shall be; waits first where the disk is slow. */
static int fails(int fd, int error, int ms) {
    if ((!error && !ms) || !on_the_bad_disk(fd)) return 0;
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
    while (ms && clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, &pause) == EINTR) {}
    if (!error || !control->left) return 0;
    if (control->left > 0) control->left--;
    control->failed++;
    errno = error;
    return 1;
}

#define CALL(type, name, parameters, arguments, what) \
    type name parameters { \
        static type(*real) parameters; \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
        return control && fails(fd, control->what##_errno, control->what##_ms) ? -1 : real arguments; \
    }

CALL(int, fsync, (int fd), (fd), fsync)
CALL(int, fdatasync, (int fd), (fd), fsync)
CALL(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), write)
CALL(ssize_t, writev, (int fd, const struct iovec *data, int count), (fd, data, count), write)
CALL(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), write)
CALL(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), write)
CALL(int, ftruncate, (int fd, off_t size), (fd, size), write)
CALL(int, ftruncate64, (int fd, off64_t size), (fd, size), write)
