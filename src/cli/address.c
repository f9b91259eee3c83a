#include "cli/address.h"

#include "agent/port.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static bool find_file(char path[PATH_SIZE])
{
    return home_path(path, PATH_SIZE, "lab/address");
}

/* 0: none is written there. */
static int read_port(const char *path)
{
    FILE *file = fopen(path, "re");
    int port = 0;
    if (!file)
        return 0;
    if (fscanf(file, "http://127.0.0.1:%5d", &port) != 1 || port < 1 || port > 65535)
        port = 0;
    fclose(file);
    return port;
}

bool address_write(int port)
{
    char path[PATH_SIZE];
    if (!find_file(path) || make_folders_above(path) != EXIT_DONE)
        return false;
    FILE *file = fopen(path, "we");
    if (!file)
        return false;
    bool good = fprintf(file, "http://127.0.0.1:%d\n", port) > 0;
    return fclose(file) == 0 && good;
}

void address_forget(int port)
{
    char path[PATH_SIZE];
    if (find_file(path) && read_port(path) == port)
        unlink(path);
}

bool address_find(char out[ADDRESS_SIZE])
{
    char path[PATH_SIZE];
    int port = find_file(path) ? read_port(path) : 0;
    if (port == 0 || !port_answers(port))
        return false;
    snprintf(out, ADDRESS_SIZE, "http://127.0.0.1:%d", port);
    return true;
}
