#include "plane/access.h"

#include "base/check.h"
#include "base/text.h"
#include "core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_SIZE = 512, WORDS_MAX = 3 };

struct entry {
    uint64_t token[TOKEN_MAX / 8 + 1]; /* padded with zeros, so that all are compared alike */
    bool operates;
    char node[NODE_NAME_SIZE]; /* "": every node */
};

struct access {
    size_t count;
    struct entry entries[ACCESS_ENTRIES_MAX];
};

/* --- the file ------------------------------------------------------------------------------------------- */

static const char *token_of(const struct entry *entry)
{
    return (const char *)entry->token;
}

static bool is_token(const char *text)
{
    size_t length = strlen(text);
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c >= 0x7f)
            return false;
    return length >= TOKEN_MIN && length <= TOKEN_MAX;
}

static const char *add_entry(struct access *access, char *const words[WORDS_MAX], int count)
{
    bool operates = strcmp(words[0], "operator") == 0;
    if (!operates && strcmp(words[0], "node") != 0)
        return "a line begins with 'operator' or 'node'";
    if (count < 2)
        return "the token is missing: operator TOKEN, node TOKEN, or node TOKEN NAME";
    if (!is_token(words[1]))
        return "a token has 16 to 128 printable characters; 'openssl rand -hex 24' makes one";
    if (operates && count > 2)
        return "an operator's token is not bound to a node; remove the third word";
    if (count > 2 && !text_is_name(words[2], NODE_NAME_SIZE - 1))
        return "the third word cannot be the name of a node";
    if (access->count == ACCESS_ENTRIES_MAX)
        return "there are more than 256 entries; node agents may share one: node TOKEN";
    for (size_t i = 0; i < access->count; i++)
        if (strcmp(token_of(&access->entries[i]), words[1]) == 0)
            return "this token stands in an earlier line already; make another one";
    struct entry *entry = &access->entries[access->count++];
    memcpy(entry->token, words[1], strlen(words[1]));
    entry->operates = operates;
    text_copy(entry->node, sizeof(entry->node), count > 2 ? words[2] : "");
    return NULL;
}

/* NULL, or what is wrong with the line. It never repeats a word of the line: that may be a token. */
static const char *read_line(struct access *access, char *line)
{
    char *words[WORDS_MAX], *rest = NULL;
    int count = 0;
    for (char *word = strtok_r(line, " \t\r\n", &rest); word && *word != '#';
         word = strtok_r(NULL, " \t\r\n", &rest)) {
        if (count == WORDS_MAX)
            return "there are more than three words; a remark begins with '#'";
        words[count++] = word;
    }
    return count == 0 ? NULL : add_entry(access, words, count);
}

static bool read_lines(struct access *access, FILE *file, const char *path, char *error, size_t error_size)
{
    char line[LINE_SIZE];
    const char *wrong = NULL;
    for (int number = 1; !wrong && fgets(line, sizeof(line), file); number++) {
        wrong = strlen(line) == sizeof(line) - 1 ? "the line is too long" : read_line(access, line);
        if (wrong)
            snprintf(error, error_size, "%s:%d: %s", path, number, wrong);
    }
    explicit_bzero(line, sizeof(line));
    if (!wrong && ferror(file))
        snprintf(error, error_size, "cannot read the token file %s: %s", path, strerror(errno));
    else if (!wrong && access->count == 0)
        snprintf(error, error_size, "%s has no token; write a line: operator TOKEN", path);
    return !wrong && !ferror(file) && access->count > 0;
}

static bool is_private(FILE *file, const char *path, char *error, size_t error_size)
{
    struct stat status;
    if (fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode))
        snprintf(error, error_size, "the token file %s is no regular file", path);
    else if (status.st_uid != 0 && status.st_uid != geteuid())
        snprintf(error, error_size, "the token file %s belongs to another user (number %u)", path,
                 (unsigned)status.st_uid);
    else if (status.st_mode & (S_IRWXG | S_IRWXO))
        snprintf(error, error_size, "others may use the token file %s (mode %03o); mend: chmod 600 %s", path,
                 (unsigned)status.st_mode & 0777, path);
    else
        return true;
    return false;
}

struct access *access_load(const char *path, char *error, size_t error_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO would keep us waiting */
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!file) {
        if (fd >= 0)
            close(fd);
        snprintf(error, error_size, "cannot read the token file %s: %s", path, strerror(errno));
        return NULL;
    }
    struct access *access = calloc(1, sizeof(*access));
    CHECK(access);
    char buffer[BUFSIZ];
    setvbuf(file, buffer, _IOFBF, sizeof(buffer));
    if (!is_private(file, path, error, error_size) || !read_lines(access, file, path, error, error_size))
        access_free(&access);
    fclose(file);
    explicit_bzero(buffer, sizeof(buffer));
    return access;
}

void access_free(struct access **owner)
{
    if (!*owner)
        return;
    explicit_bzero(*owner, sizeof(**owner));
    free(*owner);
    *owner = NULL;
}

/* --- judging -------------------------------------------------------------------------------------------- */

/* The entry of the token that the header bears, or NULL. Takes as long for every token. */
static const struct entry *entry_of(const struct access *access, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    uint64_t token[TOKEN_MAX / 8 + 1] = {0};
    const struct entry *found = NULL;
    if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return NULL;
    authorization += sizeof(scheme) - 1;
    authorization += strspn(authorization, " ");
    size_t length = strlen(authorization);
    if (length < TOKEN_MIN || length > TOKEN_MAX)
        return NULL;
    memcpy(token, authorization, length);
    for (size_t i = 0; i < access->count; i++) {
        uint64_t differ = 0;
        for (size_t word = 0; word < COUNT_OF(token); word++)
            differ |= token[word] ^ access->entries[i].token[word];
        if (differ == 0)
            found = &access->entries[i];
    }
    return found;
}

enum access_verdict access_judge(const struct access *access, const char *authorization, enum right right,
                                 const char *node)
{
    if (right == RIGHT_OPEN)
        return ACCESS_GRANTED;
    const struct entry *entry = entry_of(access, authorization);
    if (!entry)
        return ACCESS_NAMELESS;
    bool bound = entry->node[0] != '\0';
    bool may = entry->operates || right == RIGHT_SOME_NODE || (right == RIGHT_ALL_NODES && !bound) ||
               (right == RIGHT_OWN_NODE && (!bound || strcmp(entry->node, node) == 0));
    return may ? ACCESS_GRANTED : ACCESS_FORBIDDEN;
}

bool access_speaks_for(const struct access *access, const char *authorization, const char *node)
{
    return access_judge(access, authorization, RIGHT_OWN_NODE, node) == ACCESS_GRANTED;
}

const char *access_token(const struct access *access, const char *node)
{
    for (size_t i = 0; i < access->count; i++) {
        const struct entry *entry = &access->entries[i];
        if (node ? !entry->operates && (!entry->node[0] || strcmp(entry->node, node) == 0) : entry->operates)
            return token_of(entry);
    }
    return NULL;
}
