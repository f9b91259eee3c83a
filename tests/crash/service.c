/* The service of the crash tests: `service PORT WITNESS` appends one line about its start to the witness
 * file,
 *
 *     PID INSTANT COMMAND        the instant in ns since 1970; the command that started it, or 0
 *
 * and then answers whoever says something on that port. The product knows nothing of the file: it is how
 * effects are counted by somebody else than those who claim them. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int testify(const char *path)
{
    char line[96];
    struct timespec now;
    const char *command = getenv("HOMEOSTAT_COMMAND");
    clock_gettime(CLOCK_REALTIME, &now);
    int length = snprintf(line, sizeof line, "%d %lld%09ld %s\n", (int)getpid(), (long long)now.tv_sec,
                          now.tv_nsec, command ? command : "0");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return fd >= 0 && write(fd, line, (size_t)length) == length ? close(fd) : -1;
}

int main(int argc, char **argv)
{
    if (argc != 3 || testify(argv[2]) < 0)
        return 2;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0)
        return 1;
    for (;;) {
        char bytes[64];
        int user = accept(fd, NULL, NULL);
        ssize_t got = recv(user, bytes, sizeof bytes, 0);
        if (got > 0)
            (void)!send(user, bytes, (size_t)got, MSG_NOSIGNAL);
        close(user);
    }
}
