/* Lets writes and syncs of files below one folder fail: an interposed library (LD_PRELOAD).

   FAIL_ROOT  the folder

   The program itself says when, through the functions at the end of this file: each write or sync below the
   folder counts, and from the nth on some of them fail with an error, as those of a full or a broken disk do.
   Nothing of a write that fails is written. But if the disk stays full, a half is written of every third one:
   then the call returns the half, as the kernel does, and the file system says that it has no room. */

#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static long counted, failed, first, times;
static int wanted; /* 1: writes, 2: syncs, 3: both */
static int error_number;

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("FAIL_ROOT");
    if (folder != NULL && realpath(folder, root) != NULL) root_length = strlen(root);
}

static int below(int fd) {
    char link[64], path[PATH_MAX];
    int saved = errno;
    if (root_length == 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, root, root_length) == 0 && path[root_length] == '/';
}

/* Count an action; 0: let it be done, 1: it fails, 2: a half of it is done. */
static int fate(int kind, int fd) {
    int found = 0;
    if (!below(fd)) return 0;
    pthread_mutex_lock(&guard);
    if (wanted & kind) {
        counted++;
        if (counted > first && times != 0) {
            if (times > 0) times--;
            failed++;
            found = kind == 1 && times < 0 && error_number == ENOSPC && failed % 3 == 0 ? 2 : 1;
        }
    }
    pthread_mutex_unlock(&guard);
    if (found == 1) errno = error_number;
    return found;
}

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) abort();
    return found;
}

#define REAL(result, name, ...)                                              \
    static result (*real)(__VA_ARGS__);                                      \
    if (real == NULL) real = (result(*)(__VA_ARGS__))next(name);

ssize_t write(int fd, const void *from, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t)
    int now = fate(1, fd);
    return now == 1 ? -1 : real(fd, from, now == 2 && size > 1 ? size / 2 : size);
}

static ssize_t put_at(int fd, const void *from, size_t size, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)
    int now = fate(1, fd);
    return now == 1 ? -1 : real(fd, from, now == 2 && size > 1 ? size / 2 : size, at);
}
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) { return put_at(fd, from, size, at); }
ssize_t pwrite64(int fd, const void *from, size_t size, off_t at) { return put_at(fd, from, size, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int)
    int now = fate(1, fd);
    return now == 1 ? -1 : real(fd, parts, now == 2 && count > 1 ? count / 2 : count);
}

static ssize_t put_parts_at(int fd, const struct iovec *parts, int count, off_t at) {
    REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t)
    int now = fate(1, fd);
    return now == 1 ? -1 : real(fd, parts, now == 2 && count > 1 ? count / 2 : count, at);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return put_parts_at(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return put_parts_at(fd, parts, count, at); }

static int cut(int fd, off_t size) {
    REAL(int, "ftruncate", int, off_t)
    return fate(1, fd) ? (errno = error_number, -1) : real(fd, size);
}
int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off_t size) { return cut(fd, size); }

static int give_blocks(int fd, int mode, off_t at, off_t size) {
    REAL(int, "fallocate", int, int, off_t, off_t)
    return fate(1, fd) ? (errno = error_number, -1) : real(fd, mode, at, size);
}
int fallocate(int fd, int mode, off_t at, off_t size) { return give_blocks(fd, mode, at, size); }
int fallocate64(int fd, int mode, off_t at, off_t size) { return give_blocks(fd, mode, at, size); }

int fdatasync(int fd) {
    REAL(int, "fdatasync", int)
    return fate(2, fd) ? -1 : real(fd);
}

int fsync(int fd) {
    REAL(int, "fsync", int)
    return fate(2, fd) ? -1 : real(fd);
}

static int is_full(void) { return error_number == ENOSPC && times != 0 && counted > first; }

#define STATVFS(name, where, form)                                           \
    int name(where at, struct form *found) {                                 \
        REAL(int, #name, where, struct form *)                               \
        int done = real(at, found);                                          \
        if (done == 0 && is_full()) found->f_bavail = found->f_bfree = 0;    \
        return done;                                                         \
    }
STATVFS(statvfs, const char *, statvfs)
STATVFS(statvfs64, const char *, statvfs64)
STATVFS(fstatvfs, int, statvfs)
STATVFS(fstatvfs64, int, statvfs64)

/* From the nth action of these kinds on, so many fail (-1: all); the counts begin anew. */
void fail_from(int kinds, long nth, long so_many, int with) {
    pthread_mutex_lock(&guard);
    wanted = kinds;
    first = nth;
    times = so_many;
    error_number = with;
    counted = failed = 0;
    pthread_mutex_unlock(&guard);
}

long fail_counted(void) { return counted; }
long fail_failed(void) { return failed; }
