#include "wire/head.h"

#include <string.h>
#include <strings.h>

#define BAD_REQUEST        400
#define EXPECTATION_FAILED 417
#define TOO_MANY_FIELDS    431
#define NOT_THIS_VERSION   505

/* RFC 9110, section 5.6.2: what methods and the names of headers are made of. */
static bool is_token_byte(unsigned char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && memchr(others, c, sizeof others - 1));
}

/* --- where it ends -------------------------------------------------------------------------------------- */

/* The first line must end like a request line as soon as it is there: otherwise HTTP/0.9 and other protocols
 * would wait for a second one until their deadline. */
static bool ends_in_version(const char *line, size_t length)
{
    return length > 11 && memcmp(line + length - 9, " HTTP/", 6) == 0;
}

long head_length(const char *bytes, size_t length, size_t *seen, const char **why)
{
    if (length > 0 && !is_token_byte((unsigned char)bytes[0])) {
        *why = "this is not HTTP";
        return -1;
    }
    const char *end = bytes + length, *from = bytes + *seen;
    for (const char *feed; (feed = memchr(from, '\n', (size_t)(end - from))); from = feed + 1) {
        size_t before = (size_t)(feed - bytes);
        if (before == 0 || feed[-1] != '\r') {
            *why = "a line ends without a carriage return";
            return -1;
        }
        if (before >= 3 && feed[-2] == '\n')
            return (long)before + 1;
        if (!memchr(bytes, '\n', before) && !ends_in_version(bytes, before - 1)) {
            *why = "the first line is not a request line of HTTP/1.1";
            return -1;
        }
    }
    *seen = length;
    return 0;
}

/* --- the target ----------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes [from, end) to `to`, which is not behind `from`. Returns its end, or NULL for a broken escape or a
 * control character, in a path also for a slash in disguise: a proxy would take it for no slash. */
static char *decode(char *to, const char *from, const char *end, bool in_query)
{
    while (from < end) {
        int c = (unsigned char)*from++;
        if (c == '%') {
            int high = from < end ? hex_digit(from[0]) : -1;
            int low = from + 1 < end ? hex_digit(from[1]) : -1;
            if (high < 0 || low < 0)
                return NULL;
            c = high << 4 | low;
            from += 2;
            if (c == '/' && !in_query)
                return NULL;
        } else if (c == '+' && in_query) {
            c = ' ';
        }
        if (c < ' ' || c == 0x7f)
            return NULL;
        *to++ = (char)c;
    }
    return to;
}

/* Turns `a=b&c=d` into a NUL b NUL c NUL d NUL, in place. */
static bool read_query(char *at, char *end, uint16_t *count)
{
    char *to = at;
    *count = 0;
    while (at < end) {
        char *stop = memchr(at, '&', (size_t)(end - at));
        stop = stop ? stop : end;
        char *equals = memchr(at, '=', (size_t)(stop - at));
        if (equals) {
            to = decode(to, at, equals, true);
            if (!to || *count == UINT16_MAX)
                return false;
            *to++ = '\0';
            to = decode(to, equals + 1, stop, true);
            if (!to)
                return false;
            *to++ = '\0';
            ++*count;
        }
        at = stop + 1;
    }
    return true;
}

static bool read_target(char *bytes, char *at, char *end, struct head *head)
{
    if (at >= end || *at != '/')
        return false;
    for (const char *look = at; look < end; look++)
        if (*look <= ' ' || *look >= 0x7f || *look == '#') /* what is above 0x7f is negative */
            return false;
    char *mark = memchr(at, '?', (size_t)(end - at));
    char *path_end = decode(at, at, mark ? mark : end, false);
    if (!path_end)
        return false;
    *path_end = '\0';
    head->path = (uint32_t)(at - bytes);
    head->query = (uint32_t)((mark ? mark + 1 : end) - bytes);
    return !mark || read_query(mark + 1, end, &head->query_count);
}

static int read_request_line(char *bytes, char *end, struct head *head, const char **why)
{
    char *blank = bytes;
    *why = "the request line is not METHOD PATH HTTP/1.1";
    while (blank < end && is_token_byte((unsigned char)*blank))
        blank++;
    if (blank == bytes || blank == end || *blank != ' ' || end - blank < 11 || end[-9] != ' ')
        return BAD_REQUEST;
    const char *version = end - 8;
    if (memcmp(version, "HTTP/", 5) != 0)
        return BAD_REQUEST;
    if (memcmp(version, "HTTP/1.1", 8) != 0 && memcmp(version, "HTTP/1.0", 8) != 0) {
        *why = "the versions understood are HTTP/1.0 and HTTP/1.1";
        return NOT_THIS_VERSION;
    }
    head->old = version[7] == '0';
    head->bodiless = blank - bytes == 4 && memcmp(bytes, "HEAD", 4) == 0;
    *why = "the request's target is no path, or cannot be decoded";
    if (!read_target(bytes, blank + 1, end - 9, head))
        return BAD_REQUEST;
    *blank = '\0';
    head->method = 0;
    return 0;
}

/* --- the headers ---------------------------------------------------------------------------------------- */

struct framing {
    unsigned hosts, origins, lengths, encodings, authorizations;
    bool closes, persists;
};

/* Decimal digits only. */
static bool parse_length(const char *text, uint64_t *length)
{
    uint64_t number = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        number = number > UINT64_MAX / 100 ? UINT64_MAX / 100 + 1 : number * 10 + (uint64_t)(*text - '0');
    }
    *length = number > UINT64_MAX / 100 ? UINT64_MAX : number;
    return true;
}

/* True if `word` is an element of a list like that of Connection. */
static bool lists(const char *list, const char *word)
{
    size_t length = strlen(word);
    while (*list) {
        list += strspn(list, " \t,");
        size_t element = strcspn(list, " \t,");
        if (element == length && strncasecmp(list, word, length) == 0)
            return true;
        list += element;
    }
    return false;
}

/* The few that this server itself has to understand. */
static int understand(struct head *head, struct framing *framing, const char *bytes, const char *name,
                      size_t name_length, const char *value, const char **why)
{
    if (name_length == 4 && strcasecmp(name, "Host") == 0) {
        framing->hosts++;
        head->host = (uint32_t)(value - bytes);
    } else if (name_length == 6 && strcasecmp(name, "Origin") == 0) {
        framing->origins++;
        head->origin = (uint32_t)(value - bytes);
    } else if (name_length == 6 && strcasecmp(name, "Expect") == 0) {
        *why = "the only Expect understood is 100-continue";
        head->expects = strcasecmp(value, "100-continue") == 0;
        return head->expects ? 0 : EXPECTATION_FAILED;
    } else if (name_length == 10 && strcasecmp(name, "Connection") == 0) {
        framing->closes |= lists(value, "close");
        framing->persists |= lists(value, "keep-alive");
    } else if (name_length == 13 && strcasecmp(name, "Authorization") == 0) {
        framing->authorizations++;
    } else if (name_length == 14 && strcasecmp(name, "Content-Length") == 0) {
        *why = "Content-Length must be a decimal number";
        framing->lengths++;
        return parse_length(value, &head->content_bytes) ? 0 : BAD_REQUEST;
    } else if (name_length == 17 && strcasecmp(name, "Transfer-Encoding") == 0) {
        *why = "the only Transfer-Encoding understood is chunked";
        framing->encodings++;
        head->chunked = strcasecmp(value, "chunked") == 0;
        return head->chunked ? 0 : BAD_REQUEST;
    }
    return 0;
}

/* RFC 9110, section 5.5; no CR, LF or NUL among them. */
static bool is_value(const char *at, const char *end)
{
    for (; at < end; at++) {
        unsigned char c = (unsigned char)*at;
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* One line without its end, to `*to`, which is not behind it. */
static int read_field(char *bytes, char *line, char *end, char **to, struct head *head,
                      struct framing *framing, const char **why)
{
    char *colon = line;
    while (colon < end && is_token_byte((unsigned char)*colon))
        colon++;
    if (colon == line || colon == end || *colon != ':') {
        *why = *line == ' ' || *line == '\t' ? "a header goes on in a second line, which is obsolete"
                                             : "a header's name has characters that names do not have";
        return BAD_REQUEST;
    }
    if (!is_value(colon + 1, end)) {
        *why = "a header's value has control characters";
        return BAD_REQUEST;
    }
    if (head->field_count++ == HEAD_FIELDS_MAX) {
        *why = "there are more than 100 headers";
        return TOO_MANY_FIELDS;
    }
    char *from = colon + 1, *name = *to;
    size_t name_length = (size_t)(colon - line);
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    memmove(name, line, name_length);
    name[name_length] = '\0';
    char *value = name + name_length + 1;
    memmove(value, from, (size_t)(end - from));
    value[end - from] = '\0';
    *to = value + (end - from) + 1;
    return understand(head, framing, bytes, name, name_length, value, why);
}

static int check_framing(const struct head *head, const struct framing *framing, const char **why)
{
    *why = NULL;
    if (framing->encodings && framing->lengths)
        *why = "Content-Length and Transfer-Encoding exclude each other";
    else if (framing->lengths > 1)
        *why = "more than one Content-Length";
    else if (framing->encodings > 1 || (framing->encodings && head->old))
        *why = "Transfer-Encoding belongs into HTTP/1.1, once";
    else if (framing->hosts > 1 || (framing->hosts == 0 && !head->old))
        *why = "exactly one Host is needed";
    else if (framing->origins > 1)
        *why = "more than one Origin";
    else if (framing->authorizations > 1)
        *why = "more than one Authorization";
    return *why ? BAD_REQUEST : 0;
}

int head_read(char *bytes, size_t length, struct head *head, const char **why)
{
    *head = (struct head){.length = (uint32_t)length};
    struct framing framing = {0};
    char *last = bytes + length - 2; /* the empty line */
    char *feed = memchr(bytes, '\n', length);
    int status = read_request_line(bytes, feed - 1, head, why);
    char *line = feed + 1, *to = line;
    head->fields = (uint32_t)(line - bytes);
    while (status == 0 && line < last) {
        feed = memchr(line, '\n', (size_t)(bytes + length - line));
        status = read_field(bytes, line, feed - 1, &to, head, &framing, why);
        line = feed + 1;
    }
    if (status == 0)
        status = check_framing(head, &framing, why);
    head->keeps = !framing.closes && (!head->old || framing.persists);
    return status;
}

/* --- looking things up ---------------------------------------------------------------------------------- */

static const char *look_up(const char *at, unsigned count, const char *name,
                           int (*compare)(const char *, const char *))
{
    for (unsigned i = 0; i < count; i++) {
        const char *value = at + strlen(at) + 1;
        if (compare(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

const char *head_field(const struct head *head, const char *bytes, const char *name)
{
    return look_up(bytes + head->fields, head->field_count, name, strcasecmp);
}

const char *head_parameter(const struct head *head, const char *bytes, const char *name)
{
    return look_up(bytes + head->query, head->query_count, name, strcmp);
}
