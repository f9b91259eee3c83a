/* The preload library of file faults, which this program carries within itself.
 *
 * It is for programs that we did not write. The node agent writes it beside the program's data and starts the
 * program with
 *
 *     LD_PRELOAD             its absolute path
 *     PRELOAD_DATA           folders, absolute, separated by ':', at most PRELOAD_FOLDERS_MAX: only regular
 *                            files below these are touched
 *     PRELOAD_PAGE           the number of an inherited descriptor of the fault page
 *     PRELOAD_VITALS         ... of a memfd of a struct vitals, whose name begins with "vitals"
 *
 * Each may be missing, or make no sense: then it does less, or nothing. It asks inject/files.h before each
 * call of the read, write and sync families of libc; and it keeps the storage counters of the vitals: writes
 * and syncs, all of them while a file fault is on, else up to about a thousand of each a second and thread.
 *
 * What does not go through these calls is out of its reach: what stdio flushes from its own buffers, mmap,
 * io_uring, sendfile, fallocate, and programs that are linked statically or run as another user. */
#ifndef INJECT_PRELOAD_IMAGE_H
#define INJECT_PRELOAD_IMAGE_H

#include <stddef.h>

#define PRELOAD_DATA        "HOMEOSTAT_DATA"
#define PRELOAD_PAGE        "HOMEOSTAT_PAGE_FD"
#define PRELOAD_VITALS      "HOMEOSTAT_VITALS_FD"
#define PRELOAD_FOLDERS_MAX 8

extern const unsigned char preload_image[]; /* a shared object */
extern const size_t preload_image_size;

/* Writes it to `path`, mode 0700, at once or not at all: what stood there before stays until it is whole. A
 * program that runs with the old one keeps that. 0 or a negative errno. */
int preload_write(const char *path);

#endif
