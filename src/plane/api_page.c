/* The dashboard: a page, its scripts and its styles, out of this program. They hold nothing secret, so they
 * are given without a token; what they show is asked for through the API, with one. */
#include "plane/api.h"
#include "plane/page.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Scripts and styles of ours only, and none within the page's text: whatever a node may call itself, it
 * cannot become a script. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const struct page_file *find(const char *path)
{
    for (size_t i = 0; i < page_file_count; i++)
        if (strcmp(page_files[i].path, path) == 0)
            return &page_files[i];
    return NULL;
}

/* "gzip;q=0": not that one, please. */
static bool is_refused(const char *item, size_t length)
{
    const char *parameter = memchr(item, ';', length);
    if (!parameter)
        return false;
    parameter += 1 + strspn(parameter + 1, " \t");
    return strncasecmp(parameter, "q=", 2) == 0 && strtod(parameter + 2, NULL) <= 0;
}

/* Does the list `header` of codings or tags name `word`? */
static bool names(const char *header, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = header; at && *at;) {
        at += strspn(at, " \t,");
        size_t item = strcspn(at, ",");
        if (strcspn(at, "; \t,") == length && strncasecmp(at, word, length) == 0 && !is_refused(at, item))
            return true;
        at += item;
    }
    return false;
}

void api_page(struct plane *plane, struct request *request, const char *name)
{
    (void)plane, (void)name;
    const struct page_file *file = find(request_path(request));
    if (!file) {
        server_problem(request, 404, NULL, "the dashboard of this build has no such file");
        return;
    }
    bool packs = names(request_header(request, "Accept-Encoding"), "gzip");
    server_answer_header(request, "Content-Security-Policy", policy);
    server_answer_header(request, "X-Content-Type-Options", "nosniff");
    server_answer_header(request, "Referrer-Policy", "no-referrer");
    server_answer_header(request, "Cache-Control", "no-cache"); /* ask whether it has changed, each time */
    server_answer_header(request, "Vary", "Accept-Encoding");
    server_answer_header(request, "ETag", file->etag);
    if (names(request_header(request, "If-None-Match"), file->etag)) {
        server_answer(request, 304, NULL, NULL, 0);
        return;
    }
    if (packs)
        server_answer_header(request, "Content-Encoding", "gzip");
    server_answer(request, 200, file->type, (const char *)(packs ? file->packed : file->plain),
                  packs ? file->packed_bytes : file->plain_bytes);
}
