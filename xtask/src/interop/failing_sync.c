/*
 * Makes every FAIL_EVERY-th fsync or fdatasync of the program fail with EIO: preloaded by the
 * interop tests to see that nothing is acknowledged that is not on disk. As on a real disk, what
 * failed to sync may or may not be there later. The first FAIL_AFTER of them succeed: a server does
 * not start on a disk that fails already.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_long calls;

static int fails(void)
{
    const char *every = getenv("FAIL_EVERY");
    const char *after = getenv("FAIL_AFTER");
    long n = every ? atol(every) : 0;
    long call = atomic_fetch_add(&calls, 1) + 1;
    if (n <= 0 || call <= (after ? atol(after) : 0) || call % n != 0)
        return 0;
    errno = EIO;
    return 1;
}

int fsync(int fd)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails() ? -1 : real(fd);
}

int fdatasync(int fd)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails() ? -1 : real(fd);
}
