/*
 * Makes every FAIL_EVERY-th fsync or fdatasync of the program fail with EIO: preloaded by the
 * interop tests to see that nothing is acknowledged that is not on disk. As on a real disk, what
 * failed to sync may or may not be there later.
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
    long n = every ? atol(every) : 0;
    if (n <= 0 || (atomic_fetch_add(&calls, 1) + 1) % n != 0)
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
