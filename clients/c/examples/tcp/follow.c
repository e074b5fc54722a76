/* The smallest device that follows a session: records over TCP, without HTTP.
 *
 *   follow HOST PORT KEY-ID SECRET SESSION [FROM]
 *
 * It says hello, connects, asks once for the session's events, and prints frames for ever. */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../src/cib_core.h"

#define MOST 512 /* bytes of a record */

static int line = -1;
static uint8_t buffer[CIB_BUFFER(MOST)];

static int out(const uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(line, data, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
        data += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int in(uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t got = recv(line, data, length, 0);
        if (got <= 0)
            return -1;
        data += got;
        length -= (size_t)got;
    }
    return 0;
}

/* The next record. Returns the length of its plaintext, which stands at buffer + 2. */
static int record(cib_records *answer, const uint8_t *prefix, size_t length)
{
    if (in(buffer, 2))
        return CIB_LINE;
    int rest = cib_core_length(answer, buffer);
    if (rest < 0 || (size_t)rest + 2 > sizeof buffer || in(buffer + 2, (size_t)rest))
        return CIB_LINE;
    return cib_core_open_record(answer, prefix, length, buffer);
}

/* Seals what stands at buffer + 2 and sends it. */
static int say(cib_records *request, const uint8_t *prefix, size_t length, size_t plain)
{
    return cib_core_seal(request, prefix, length, buffer, plain, 0) || out(buffer, plain + 18) ? CIB_LINE : CIB_OK;
}

static int unhex(const char *text, uint8_t *to, size_t length)
{
    for (size_t at = 0; at < length; at++) {
        unsigned byte;
        if (sscanf(text + 2 * at, "%2x", &byte) != 1)
            return -1;
        to[at] = (uint8_t)byte;
    }
    return 0;
}

static int connect_to(const char *host, const char *port)
{
    struct addrinfo wanted, *found;
    memset(&wanted, 0, sizeof wanted);
    wanted.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &wanted, &found))
        return -1;
    line = socket(found->ai_family, found->ai_socktype, 0);
    int fault = line < 0 || connect(line, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return fault ? -1 : 0;
}

/* Hello, challenge, connect; the first record tells the time and how long a record may be. */
static int open_line(const uint8_t key_id[8], const uint8_t secret[32], cib_records *request, cib_records *answer)
{
    static const uint8_t hello[8] = {'C', 'I', 'B', '3', 1, 1, 0, 0};
    uint8_t challenge[CIB_CHALLENGE], prefix[CIB_OPEN], response[CIB_RESPONSE], random[24];
    cib_session session;
    FILE *noise = fopen("/dev/urandom", "rb");
    if (!noise || fread(random, 1, sizeof random, noise) != sizeof random)
        return CIB_RANDOM;
    fclose(noise);
    if (out(hello, sizeof hello) || in(challenge, sizeof challenge))
        return CIB_LINE;
    if (cib_core_connect(&session, challenge, key_id, secret, random, random + 16, prefix) ||
        cib_core_request(&session, prefix, sizeof prefix, request))
        return CIB_DAMAGED;
    cib_put64(buffer + 2, session.time_ms);
    cib_put16(buffer + 10, MOST);
    if (out(prefix, sizeof prefix) || say(request, prefix, sizeof prefix, 10) || in(response, sizeof response))
        return CIB_LINE;
    if (cib_core_response(&session, prefix, sizeof prefix, response, answer))
        return CIB_REFUSED;
    return record(answer, response, sizeof response) == 11 && cib_get16(buffer + 10) == 200 ? CIB_OK : CIB_REFUSED;
}

int main(int count, char **words)
{
    uint8_t key_id[8], secret[32];
    cib_records request, answer;
    char path[160];
    int length;
    time_t said;
    if (count < 6 || strlen(words[3]) != 16 || strlen(words[4]) != 64 || unhex(words[3], key_id, 8) ||
        unhex(words[4], secret, 32)) {
        fprintf(stderr, "follow HOST PORT KEY-ID SECRET SESSION [FROM]\n");
        return 64;
    }
    if (connect_to(words[1], words[2]) || open_line(key_id, secret, &request, &answer)) {
        fprintf(stderr, "not connected\n");
        return 1;
    }
    int size = snprintf(path, sizeof path, "/api/sessions/%s/events?from=%s&max_frame=%d", words[5],
                        count > 6 ? words[6] : "0", MOST - 4);
    if (size < 0 || (size_t)size >= sizeof path)
        return 64;
    /* An item: a call with the ref 1, and in it the head of a request. */
    memset(buffer, 0, 2 + 4 + 13);
    buffer[2] = 1;
    buffer[5] = 1;
    cib_put16(buffer + 14, MOST);
    buffer[16] = CIB_GET;
    cib_put16(buffer + 17, (uint32_t)size);
    memcpy(buffer + 19, path, (size_t)size);
    if (say(&request, NULL, 0, 17 + (size_t)size))
        return 1;
    said = time(NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((length = record(&answer, NULL, 0)) >= 4) {
        const char *payload = (const char *)buffer + 6;
        if (buffer[2] == CIB_FRAME)
            printf("%.*s%s", length - 4, payload, buffer[3] & 1 ? "" : "\n");
        else if (buffer[2] == CIB_END || buffer[2] == 0x7e)
            return printf("end %.*s\n", length - 4, payload) < 0;
        /* The box hears from us at least twice a minute. */
        if (time(NULL) - said >= 20) {
            memset(buffer + 2, 0, 4);
            if (say(&request, NULL, 0, 4))
                break;
            said = time(NULL);
        }
    }
    fprintf(stderr, "the line broke\n");
    return 1;
}
