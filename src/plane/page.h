/* The dashboard's files, as they lie in this program. web/pack.sh makes the table while building. */
#ifndef PLANE_PAGE_H
#define PLANE_PAGE_H

#include <stddef.h>

struct page_file {
    const char *path; /* "/", "/web/app.js" */
    const char *type; /* of its content */
    const char *etag; /* W/"..."; changes with the content */
    const unsigned char *plain;
    size_t plain_bytes;
    const unsigned char *packed; /* the same by gzip */
    size_t packed_bytes;
};

extern const struct page_file page_files[];
extern const size_t page_file_count;

#endif
