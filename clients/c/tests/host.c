/* The device on a host: device HOST PORT KEY-ID SECRET SESSION. */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"

static int line = -1;
static FILE *noise;

static int send_bytes(void *context, const uint8_t *data, size_t length)
{
    (void)context;
    while (length > 0) {
        ssize_t sent = send(line, data, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
        data += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int receive_bytes(void *context, uint8_t *data, size_t most)
{
    (void)context;
    return (int)recv(line, data, most, 0);
}

static int random_bytes(void *context, uint8_t *to, size_t length)
{
    (void)context;
    return fread(to, 1, length, noise) == length ? 0 : -1;
}

int main(int count, char **words)
{
    struct addrinfo wanted, *found;
    const cib_io io = {NULL, send_bytes, receive_bytes, random_bytes, NULL};
    device_config config;
    if (count != 6)
        return 64;
    memset(&wanted, 0, sizeof wanted);
    wanted.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(words[1], words[2], &wanted, &found))
        return 1;
    line = socket(found->ai_family, found->ai_socktype, 0);
    if (line < 0 || connect(line, found->ai_addr, found->ai_addrlen))
        return 1;
    freeaddrinfo(found);
    noise = fopen("/dev/urandom", "rb");
    if (!noise)
        return 1;
    snprintf(config.key_id, sizeof config.key_id, "%s", words[3]);
    snprintf(config.secret, sizeof config.secret, "%s", words[4]);
    snprintf(config.session, sizeof config.session, "%s", words[5]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int status = device_run(&io, words[1], &config);
    fclose(noise);
    close(line);
    return status != 0;
}
