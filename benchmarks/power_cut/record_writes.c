/* Records what a program really does to the files below one folder: an interposed library (LD_PRELOAD).

   RECORD_ROOT  the folder whose files are recorded
   RECORD_LOG   the file that the record is appended to
   RECORD_DIE   optional: a kind of action and a number, as D12: the process kills itself within the 12th
                write through O_DSYNC (W: another write, S: a sync; w, s: one of a segment of the log), after
                the action itself and before the record says that it is done. So it is known only that it was
                begun.

   1. One mutex is held over each action and its entries, so their order is the order in which they happened.
   2. A write or a truncation is entered before it is done, a sync and a change of a name after it: what a
      sync covers stands before it. A write through a descriptor that was opened with O_DSYNC or O_SYNC is
      entered before, and its end after it.
   3. Only the process that was started is recorded. If a fork of it writes to a recorded file, that is
      entered too, so that the replay can refuse a record that it would misread.
   4. An action that a replay does not know (a writable shared map of a recorded file, copy_file_range, a
      link) is entered as such; the lock files of LMDB are left out, because they hold nothing that lasts.

   An entry: op, one byte; number of the descriptor, int32; offset, int64; length of the text, uint32; length
   of the second text, uint32; then both texts. Integers are in the machine's order. */

#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536
#define WATCHED 1
#define SYNCED 2
#define SEGMENT 8
#define MARKS ".marks"
#define SEGMENTS "/log-"

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static char state[FILES]; /* of each descriptor: WATCHED, with SYNCED if its writes are durable, and SEGMENT */
static int log_file = -1;
static char root[PATH_MAX];
static size_t root_length;
static pid_t owner;
static char die_op;
static long die_after;

static void fail(const char *what) {
    static const char head[] = "record_writes: ";
    syscall(SYS_write, 2, head, sizeof head - 1);
    syscall(SYS_write, 2, what, strlen(what));
    syscall(SYS_write, 2, "\n", 1);
    syscall(SYS_exit_group, 99);
}

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) fail(name);
    return found;
}

/* The functions of libc. They are looked up before the mutex is first held, because a look-up waits for the
   loader, and the loader may wait for the mutex. A call may come before any constructor. */
#define FUNCTIONS \
    EACH(close) EACH(copy_file_range) EACH(fallocate) EACH(fdatasync) EACH(fsync) \
    EACH(ftruncate) EACH(link) EACH(linkat) EACH(mkdirat) EACH(mmap) EACH(openat) EACH(posix_fallocate) \
    EACH(pwrite) EACH(pwritev) EACH(renameat) EACH(renameat2) EACH(sendfile) EACH(symlink) \
    EACH(truncate) EACH(unlinkat) EACH(write) EACH(writev)
#define EACH(name) static void *real_##name;
FUNCTIONS
#undef EACH

static void find_all(void) {
#define EACH(name) real_##name = next(#name);
    FUNCTIONS
#undef EACH
}

static void *found_or_next(void **found, const char *name) {
    if (*found == NULL) *found = next(name);
    return *found;
}

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))found_or_next(&real_##name, #name))

static void put_all(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t put = syscall(SYS_write, log_file, at, length);
        if (put <= 0) fail("the record cannot be written");
        at += put;
        length -= (size_t)put;
    }
}

static void enter(char op, int fd, int64_t offset, const void *text, size_t length, const void *more,
                  size_t more_length) {
    char head[21];
    uint32_t first = (uint32_t)length, second = (uint32_t)more_length;
    int32_t number = fd;
    int saved = errno;
    if (getpid() != owner) op = 'F';
    memcpy(head, &op, 1);
    memcpy(head + 1, &number, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &first, 4);
    memcpy(head + 17, &second, 4);
    put_all(head, sizeof head);
    put_all(text, length);
    put_all(more, more_length);
    errno = saved;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("RECORD_ROOT"), *log = getenv("RECORD_LOG"), *die = getenv("RECORD_DIE");
    if (folder == NULL || log == NULL) return;
    find_all();
    if (realpath(folder, root) == NULL) fail("RECORD_ROOT is no folder");
    root_length = strlen(root);
    log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_file < 0) fail("RECORD_LOG cannot be opened");
    /* Out of the way of programs that expect low numbers. */
    int high = (int)syscall(SYS_fcntl, log_file, F_DUPFD_CLOEXEC, 900);
    if (high >= 0) {
        syscall(SYS_close, log_file);
        log_file = high;
    }
    if (die != NULL && *die) {
        die_op = *die;
        die_after = atol(die + 1);
    }
    owner = getpid();
    unsetenv("LD_PRELOAD"); /* programs that it starts are not recorded */
    enter('B', -1, 0, "", 0, "", 0);
}

/* Called between an action and the entry that says that it is done. */
static void maybe_die(char op) {
    if (op == die_op && --die_after <= 0 && getpid() == owner) kill(getpid(), SIGKILL);
}

static int watched(int fd) { return log_file >= 0 && fd >= 0 && fd < FILES && state[fd]; }

/* Write the absolute path of `path`, with its last part as it is, to `found`; 1 if it is below the root. */
static int below(int folder, const char *path, char *found) {
    char start[PATH_MAX], joined[2 * PATH_MAX], real[PATH_MAX];
    if (log_file < 0 || path == NULL || !*path) return 0;
    if (path[0] == '/') {
        snprintf(joined, sizeof joined, "%s", path);
    } else {
        if (folder == AT_FDCWD) {
            if (getcwd(start, sizeof start) == NULL) return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, start, sizeof start - 1);
            if (length < 0) return 0;
            start[length] = 0;
        }
        snprintf(joined, sizeof joined, "%s/%s", start, path);
    }
    size_t length = strlen(joined);
    while (length > 1 && joined[length - 1] == '/') joined[--length] = 0;
    char *slash = strrchr(joined, '/');
    if (slash == NULL) return 0;
    char *last = slash + 1;
    *slash = 0;
    if (realpath(*joined ? joined : "/", real) == NULL) return 0;
    if (strlen(real) + strlen(last) + 2 > PATH_MAX) return 0;
    strcpy(found, real);
    strcat(found, "/");
    strcat(found, last);
    if (strncmp(found, root, root_length) != 0) return 0;
    return found[root_length] == '/' || found[root_length] == 0;
}

static int is_left_out(const char *path) {
    const char *last = strrchr(path, '/');
    return last != NULL && strcmp(last, "/lock.mdb") == 0;
}

static int is_marks(const char *path) {
    size_t length = strlen(path);
    return length >= sizeof MARKS - 1 && strcmp(path + length - (sizeof MARKS - 1), MARKS) == 0;
}

static int is_segment(const char *path) {
    const char *last = strrchr(path, '/');
    return last != NULL && strncmp(last, SEGMENTS, sizeof SEGMENTS - 1) == 0;
}

static int open_it(int folder, const char *path, int flags, mode_t mode) {
    char found[PATH_MAX];
    /* A file without a name, to which linkat gives one below. */
    int unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    if (unnamed || !below(folder, path, found) || is_left_out(found))
        return REAL(int, openat, int, const char *, int, ...)(folder, path, flags, mode);
    pthread_mutex_lock(&guard);
    struct stat before;
    int was = fstatat(folder, path, &before, 0) == 0;
    int fd = REAL(int, openat, int, const char *, int, ...)(folder, path, flags, mode);
    int saved = errno;
    if (fd >= 0 && fd < FILES) {
        state[fd] = WATCHED;
        if ((flags & O_DSYNC) == O_DSYNC) state[fd] |= SYNCED;
        if (is_segment(found)) state[fd] |= SEGMENT;
        if (is_marks(found)) state[fd] = WATCHED | 4;
        /* The offset says what happened: 1 made, 2 emptied. */
        int64_t what = (was ? 0 : 1) | ((flags & O_TRUNC) ? 2 : 0);
        enter('O', fd, what, found, strlen(found), "", 0);
    } else if (fd >= FILES) {
        fail("a descriptor is too large");
    }
    pthread_mutex_unlock(&guard);
    errno = saved;
    return fd;
}

#define MODE(flags)                                    \
    mode_t mode = 0;                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {             \
        va_list rest;                                  \
        va_start(rest, flags);                         \
        mode = (mode_t)va_arg(rest, int);              \
        va_end(rest);                                  \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_it(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_it(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_it(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return open_it(folder, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_it(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    /* A child between vfork and exec closes descriptors while it shares this memory. */
    if (!watched(fd) || getpid() != owner) return REAL(int, close, int)(fd);
    pthread_mutex_lock(&guard);
    enter('C', fd, 0, "", 0, "", 0);
    state[fd] = 0;
    int done = REAL(int, close, int)(fd);
    pthread_mutex_unlock(&guard);
    return done;
}

static ssize_t write_it(int fd, const struct iovec *parts, int count, off_t offset, int at_offset) {
    ssize_t done;
    size_t length = 0;
    for (int nth = 0; nth < count; nth++) length += parts[nth].iov_len;
    char *bytes = malloc(length ? length : 1), *at = bytes;
    if (bytes == NULL) fail("no memory");
    for (int nth = 0; nth < count; nth++) {
        memcpy(at, parts[nth].iov_base, parts[nth].iov_len);
        at += parts[nth].iov_len;
    }
    pthread_mutex_lock(&guard);
    if (!at_offset) {
        off_t here = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
        offset = here < 0 ? 0 : here;
        int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
        struct stat status;
        if ((flags & O_APPEND) && fstat(fd, &status) == 0) offset = status.st_size;
    }
    if (state[fd] & 4) {
        enter('M', fd, 0, bytes, length, "", 0);
        done = (ssize_t)length;
    } else {
        enter(state[fd] & SYNCED ? 'D' : 'W', fd, offset, bytes, length, "", 0);
        /* With the caller's own buffers: those of O_DIRECT are aligned. */
        if (count == 1)
            done = at_offset ? REAL(ssize_t, pwrite, int, const void *, size_t, off_t)(fd, parts->iov_base, length, offset)
                             : REAL(ssize_t, write, int, const void *, size_t)(fd, parts->iov_base, length);
        else
            done = at_offset ? REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)(fd, parts, count, offset)
                             : REAL(ssize_t, writev, int, const struct iovec *, int)(fd, parts, count);
        int saved = errno;
        if (done != (ssize_t)length) enter('X', fd, offset, "a write was cut short", 21, "", 0);
        maybe_die(state[fd] & SYNCED ? 'D' : 'W');
        if (state[fd] & SEGMENT) maybe_die('w');
        if (state[fd] & SYNCED) enter('E', fd, 0, "", 0, "", 0);
        errno = saved;
    }
    int result_error = errno;
    pthread_mutex_unlock(&guard);
    free(bytes);
    errno = result_error;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!watched(fd)) return REAL(ssize_t, write, int, const void *, size_t)(fd, bytes, length);
    struct iovec part = {(void *)bytes, length};
    return write_it(fd, &part, 1, 0, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!watched(fd)) return REAL(ssize_t, writev, int, const struct iovec *, int)(fd, parts, count);
    return write_it(fd, parts, count, 0, 0);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    if (!watched(fd)) return REAL(ssize_t, pwrite, int, const void *, size_t, off_t)(fd, bytes, length, offset);
    struct iovec part = {(void *)bytes, length};
    return write_it(fd, &part, 1, offset, 1);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return pwrite(fd, bytes, length, offset); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    if (!watched(fd)) return REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)(fd, parts, count, offset);
    return write_it(fd, parts, count, offset, 1);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }

typedef int syncing(int);

static int sync_it(int fd, syncing *real) {
    if (!watched(fd)) return real(fd);
    pthread_mutex_lock(&guard);
    int done = real(fd), saved = errno;
    maybe_die('S');
    if (state[fd] & SEGMENT) maybe_die('s');
    if (done == 0) enter('S', fd, 0, "", 0, "", 0);
    pthread_mutex_unlock(&guard);
    errno = saved;
    return done;
}

int fsync(int fd) { return sync_it(fd, REAL(int, fsync, int)); }
int fdatasync(int fd) { return sync_it(fd, REAL(int, fdatasync, int)); }

int ftruncate(int fd, off_t length) {
    if (!watched(fd)) return REAL(int, ftruncate, int, off_t)(fd, length);
    pthread_mutex_lock(&guard);
    enter('T', fd, length, "", 0, "", 0);
    int done = REAL(int, ftruncate, int, off_t)(fd, length);
    pthread_mutex_unlock(&guard);
    return done;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

int fallocate(int fd, int mode, off_t offset, off_t length) {
    if (watched(fd)) enter('X', fd, 0, "fallocate", 9, "", 0);
    return REAL(int, fallocate, int, int, off_t, off_t)(fd, mode, offset, length);
}
int posix_fallocate(int fd, off_t offset, off_t length) {
    if (watched(fd)) enter('X', fd, 0, "posix_fallocate", 15, "", 0);
    return REAL(int, posix_fallocate, int, off_t, off_t)(fd, offset, length);
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t length, unsigned flags) {
    if (watched(to)) enter('X', to, 0, "copy_file_range", 15, "", 0);
    return REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned)(from, at, to, there, length, flags);
}
ssize_t sendfile(int to, int from, off_t *at, size_t length) {
    if (watched(to)) enter('X', to, 0, "sendfile", 8, "", 0);
    return REAL(ssize_t, sendfile, int, int, off_t *, size_t)(to, from, at, length);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t length) { return sendfile(to, from, at, length); }
void *mmap(void *at, size_t length, int access, int flags, int fd, off_t offset) {
    if (watched(fd) && (access & PROT_WRITE) && (flags & MAP_SHARED)) enter('X', fd, 0, "a writable map", 14, "", 0);
    return REAL(void *, mmap, void *, size_t, int, int, int, off_t)(at, length, access, flags, fd, offset);
}
void *mmap64(void *at, size_t length, int access, int flags, int fd, off64_t offset) {
    return mmap(at, length, access, flags, fd, offset);
}

/* Actions on names. */
#define NAMED(op, call, more, more_length)                              \
    pthread_mutex_lock(&guard);                                         \
    int done = (call), saved = errno;                                   \
    if (done == 0) enter(op, -1, 0, first, strlen(first), more, more_length); \
    pthread_mutex_unlock(&guard);                                       \
    errno = saved;                                                      \
    return done;

int truncate(const char *path, off_t length) {
    char first[PATH_MAX];
    int here = below(AT_FDCWD, path, first);
    if (!here) return REAL(int, truncate, const char *, off_t)(path, length);
    pthread_mutex_lock(&guard);
    enter('P', -1, length, first, strlen(first), "", 0);
    int done = REAL(int, truncate, const char *, off_t)(path, length);
    pthread_mutex_unlock(&guard);
    return done;
}
int truncate64(const char *path, off64_t length) { return truncate(path, length); }

static int rename_it(int from_folder, const char *from, int to_folder, const char *to) {
    char first[PATH_MAX], second[PATH_MAX];
    int here = below(from_folder, from, first), there = below(to_folder, to, second);
    if (!here && !there) return REAL(int, renameat, int, const char *, int, const char *)(from_folder, from, to_folder, to);
    if (!here || !there) enter('X', -1, 0, "a rename across the root", 24, "", 0);
    NAMED('R', REAL(int, renameat, int, const char *, int, const char *)(from_folder, from, to_folder, to), second, strlen(second))
}
int rename(const char *from, const char *to) { return rename_it(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int one, const char *from, int two, const char *to) { return rename_it(one, from, two, to); }
int renameat2(int one, const char *from, int two, const char *to, unsigned flags) {
    char first[PATH_MAX];
    if (flags && below(one, from, first)) enter('X', -1, 0, "renameat2 with flags", 20, "", 0);
    if (flags) return REAL(int, renameat2, int, const char *, int, const char *, unsigned)(one, from, two, to, flags);
    return rename_it(one, from, two, to);
}

static int unlink_it(int folder, const char *path, int flags) {
    char first[PATH_MAX];
    if (!below(folder, path, first) || is_left_out(first))
        return REAL(int, unlinkat, int, const char *, int)(folder, path, flags);
    NAMED('U', REAL(int, unlinkat, int, const char *, int)(folder, path, flags), "", 0)
}
int unlink(const char *path) { return unlink_it(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return unlink_it(folder, path, flags); }
int rmdir(const char *path) { return unlink_it(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    struct stat status;
    return unlink_it(AT_FDCWD, path, lstat(path, &status) == 0 && S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0);
}

static int make_it(int folder, const char *path, mode_t mode) {
    char first[PATH_MAX];
    if (!below(folder, path, first)) return REAL(int, mkdirat, int, const char *, mode_t)(folder, path, mode);
    NAMED('K', REAL(int, mkdirat, int, const char *, mode_t)(folder, path, mode), "", 0)
}
int mkdir(const char *path, mode_t mode) { return make_it(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return make_it(folder, path, mode); }

int link(const char *from, const char *to) {
    char first[PATH_MAX];
    if (below(AT_FDCWD, to, first)) enter('X', -1, 0, "link", 4, "", 0);
    return REAL(int, link, const char *, const char *)(from, to);
}
int linkat(int folder, const char *from, int other, const char *to, int flags) {
    char second[PATH_MAX];
    if (below(other, to, second) && !is_left_out(second)) enter('X', -1, 0, "linkat", 6, "", 0);
    return REAL(int, linkat, int, const char *, int, const char *, int)(folder, from, other, to, flags);
}
int symlink(const char *from, const char *to) {
    char first[PATH_MAX];
    if (below(AT_FDCWD, to, first)) enter('X', -1, 0, "symlink", 7, "", 0);
    return REAL(int, symlink, const char *, const char *)(from, to);
}
