#include "service/config.h"

#include "base/random.h"
#include "wire/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VERSION_MAX 1000000000

/* The whole file, or a negative errno; -EFBIG: it is longer than a configuration. */
static ssize_t read_file(const char *path, char *text, size_t capacity)
{
    size_t length = 0;
    ssize_t more = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe has no writer to wait for */

    if (fd < 0)
        return -errno;
    while (more > 0 && length < capacity) {
        more = read(fd, text + length, capacity - length);
        if (more > 0)
            length += (size_t)more;
    }
    int error = errno;
    close(fd);
    if (more < 0)
        return -error;
    return length == capacity ? -EFBIG : (ssize_t)length;
}

static bool parse(struct config *config, const char *text, size_t length, struct json_error *error)
{
    json_t *document = json_parse(text, length, error);
    struct json_reader reader = json_reader_over(document, error);

    config->version = json_read_integer(&reader, "version", JSON_REQUIRED, 1, VERSION_MAX, 0);
    config->broken = json_read_flag(&reader, "broken", JSON_OPTIONAL, false);
    bool good = json_read_end(&reader);
    json_decref(document);
    return good;
}

bool config_read(struct config *config, const char *path, const struct page *page)
{
    static const char staying[] = "the configuration stays as it was";
    char text[CONFIG_MAX_BYTES + 1];
    struct json_error error;
    struct config fresh = {.asked = config->asked};

    ssize_t length = read_file(path, text, sizeof(text));
    if (length < 0) {
        fprintf(stderr, "homeostat service: %s: %s; %s\n", path, strerror((int)-length), staying);
        return false;
    }
    if (!parse(&fresh, text, (size_t)length, &error)) {
        fprintf(stderr, "homeostat service: %s: %s%s%s; %s\n", path, error.pointer,
                *error.pointer ? ": " : "", error.sentence, staying);
        return false;
    }
    if (page)
        fresh.incarnation = page_incarnation(page, FAULT_BAD_CONFIG);
    *config = fresh;
    return true;
}

bool config_refuses(struct config *config, const struct page *page)
{
    double share = config->broken && page ? page_intensity(page, FAULT_BAD_CONFIG, config->incarnation) : 0;

    return share > 0 && random_unit(random_draw(FAULT_BAD_CONFIG, config->asked++)) < share;
}
