/* LD_PRELOAD: every sync takes SLOW_SYNC_US microseconds longer. The file SLOW_SYNC_COUNTER counts them, over all processes. With
 * SLOW_SYNC_SERIAL=1 they wait for each other too, as the syncs of one disk without a cache do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct shared {
    atomic_ulong count;
    atomic_int ready;
    pthread_mutex_t turn;
};

static struct shared *shared;
static long delay_us;
static int serial;

__attribute__((constructor)) static void begin(void)
{
    const char *us = getenv("SLOW_SYNC_US"), *path = getenv("SLOW_SYNC_COUNTER"), *one = getenv("SLOW_SYNC_SERIAL");
    delay_us = us ? atol(us) : 2000;
    serial = one && *one == '1';
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *at = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (at == MAP_FAILED)
        return;
    shared = at;
    int fresh = 0;
    /* 0: nobody was here, 1: the mutex is being made, 2: it is there. */
    if (atomic_compare_exchange_strong(&shared->ready, &fresh, 1)) {
        pthread_mutexattr_t kind;
        pthread_mutexattr_init(&kind);
        pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&shared->turn, &kind);
        atomic_store(&shared->ready, 2);
    }
}

static void slow(void)
{
    int error = errno;
    struct timespec left = {delay_us / 1000000, delay_us % 1000000 * 1000};
    int turns = serial && shared && atomic_load(&shared->ready) == 2;
    if (turns && pthread_mutex_lock(&shared->turn) == EOWNERDEAD)
        pthread_mutex_consistent(&shared->turn);
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    if (turns)
        pthread_mutex_unlock(&shared->turn);
    if (shared)
        atomic_fetch_add(&shared->count, 1);
    errno = error;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

int fsync(int fd)
{
    slow();
    return REAL("fsync", int (*)(int))(fd);
}

int fdatasync(int fd)
{
    slow();
    return REAL("fdatasync", int (*)(int))(fd);
}

int syncfs(int fd)
{
    slow();
    return REAL("syncfs", int (*)(int))(fd);
}

int msync(void *at, size_t length, int flags)
{
    if (flags & MS_SYNC)
        slow();
    return REAL("msync", int (*)(void *, size_t, int))(at, length, flags);
}

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned int flags)
{
    if (flags & (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER))
        slow();
    return REAL("sync_file_range", int (*)(int, off64_t, off64_t, unsigned int))(fd, offset, bytes, flags);
}
