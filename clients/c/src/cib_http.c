#include "cib_http.h"

#include <string.h>

int cib_http_send(cib_client *client, const void *data, size_t length)
{
    if (length == 0)
        return CIB_OK;
    return client->io.send(client->io.context, data, length) ? CIB_LINE : CIB_OK;
}

/* Exactly so many bytes of the line. */
static int take(cib_client *client, uint8_t *to, size_t length)
{
    while (length > 0) {
        size_t there = (size_t)(client->staged - client->stage_at);
        if (there > 0) {
            size_t part = there < length ? there : length;
            memcpy(to, client->stage + client->stage_at, part);
            client->stage_at = (uint8_t)(client->stage_at + part);
            to += part;
            length -= part;
            continue;
        }
        int is_much = length >= sizeof client->stage;
        int got = client->io.receive(client->io.context, is_much ? to : client->stage,
                                     is_much ? length : sizeof client->stage);
        if (got <= 0)
            return CIB_LINE;
        if (is_much) {
            to += got;
            length -= (size_t)got;
        } else {
            client->stage_at = 0;
            client->staged = (uint8_t)got;
        }
    }
    return CIB_OK;
}

/* A line of text without its end; what does not fit is left out. */
static int line(cib_client *client, char *to, size_t size)
{
    size_t at = 0;
    for (uint32_t read = 0; read < 32768; read++) {
        uint8_t byte;
        if (take(client, &byte, 1))
            return CIB_LINE;
        if (byte == '\n') {
            to[at] = 0;
            return CIB_OK;
        }
        if (byte != '\r' && at + 1 < size)
            to[at++] = (char)byte;
    }
    return CIB_DAMAGED;
}

/* What stands behind a header's name, if the line has that name. */
static const char *header(const char *text, const char *name)
{
    for (; *name; text++, name++) {
        char letter = *text;
        if (letter >= 'A' && letter <= 'Z')
            letter = (char)(letter - 'A' + 'a');
        if (letter != *name)
            return NULL;
    }
    while (*text == ' ' || *text == '\t')
        text++;
    return text;
}

static int number(const char *text, uint32_t base, uint32_t *value)
{
    uint32_t sum = 0;
    int digits = 0;
    for (; *text && *text != ';' && *text != ' '; text++, digits++) {
        uint32_t digit;
        if (*text >= '0' && *text <= '9')
            digit = (uint32_t)(*text - '0');
        else if (base == 16 && (*text | 32) >= 'a' && (*text | 32) <= 'f')
            digit = (uint32_t)((*text | 32) - 'a' + 10);
        else
            return CIB_DAMAGED;
        if (digits > 6)
            return CIB_DAMAGED;
        sum = sum * base + digit;
    }
    *value = sum;
    return digits ? CIB_OK : CIB_DAMAGED;
}

/* The head of an answer. Returns its status. */
int cib_http_head(cib_client *client)
{
    char text[40];
    uint32_t status;
    int fault = line(client, text, sizeof text);
    if (fault)
        return fault;
    if (strncmp(text, "HTTP/1.", 7) != 0 || strlen(text) < 12 || text[8] != ' ')
        return CIB_DAMAGED;
    text[12] = 0;
    if (number(text + 9, 10, &status) || status < 100)
        return CIB_DAMAGED;
    client->body_left = 0;
    client->chunked = 0;
    client->ended = 0;
    for (int lines = 0; lines < 64; lines++) {
        const char *value;
        if ((fault = line(client, text, sizeof text)) != 0)
            return fault;
        if (!*text)
            return (int)status;
        if ((value = header(text, "content-length:")) != NULL) {
            if (number(value, 10, &client->body_left))
                return CIB_DAMAGED;
        } else if ((value = header(text, "transfer-encoding:")) != NULL) {
            client->chunked = header(value, "chunked") ? 1 : 0;
        }
    }
    return CIB_DAMAGED;
}

/* Makes body_left more than 0, unless the body ends. */
int cib_http_more(cib_client *client)
{
    char text[16];
    if (client->body_left > 0 || client->ended)
        return CIB_OK;
    if (!client->chunked) {
        client->ended = 1;
        return CIB_OK;
    }
    if (client->chunked == 2 && (line(client, text, sizeof text) || *text))
        return CIB_LINE;
    client->chunked = 2;
    if (line(client, text, sizeof text))
        return CIB_LINE;
    if (number(text, 16, &client->body_left))
        return CIB_DAMAGED;
    if (client->body_left == 0) {
        client->ended = 1;
        do {
            if (line(client, text, sizeof text))
                return CIB_LINE;
        } while (*text);
    }
    return CIB_OK;
}

/* Exactly so many bytes of a body. */
int cib_http_body(cib_client *client, uint8_t *to, size_t length)
{
    while (length > 0) {
        int fault = cib_http_more(client);
        if (fault)
            return fault;
        if (client->ended)
            return CIB_DAMAGED;
        size_t part = length < client->body_left ? length : client->body_left;
        if ((fault = take(client, to, part)) != 0)
            return fault;
        client->body_left -= (uint32_t)part;
        to += part;
        length -= part;
    }
    return CIB_OK;
}

/* Passes over the rest of a body. */
int cib_http_drain(cib_client *client)
{
    for (;;) {
        int fault = cib_http_more(client);
        if (fault || client->ended)
            return fault;
        size_t part = client->body_left < client->size ? client->body_left : client->size;
        if ((fault = cib_http_body(client, client->buffer, part)) != 0)
            return fault;
    }
}

size_t cib_text_to(char *to, const char *text)
{
    size_t length = strlen(text);
    memcpy(to, text, length);
    return length;
}

size_t cib_digits_to(char *to, uint32_t value)
{
    char text[10];
    size_t count = 0, at = 0;
    do {
        text[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (count)
        to[at++] = text[--count];
    return at;
}

/* The head of a request; a GET has no body. */
int cib_http_request(cib_client *client, uint32_t length)
{
    char text[96];
    size_t at = cib_text_to(text, length ? "POST /aes/v3 HTTP/1.1\r\nHost: " : "GET /aes/v3 HTTP/1.1\r\nHost: ");
    int fault = cib_http_send(client, text, at);
    if (!fault)
        fault = cib_http_send(client, client->host, strlen(client->host));
    at = cib_text_to(text, "\r\n");
    if (length) {
        at += cib_text_to(text + at, "Content-Type: application/cib-aes-3\r\nContent-Length: ");
        at += cib_digits_to(text + at, length);
        at += cib_text_to(text + at, "\r\n");
    }
    at += cib_text_to(text + at, "\r\n");
    return fault ? fault : cib_http_send(client, text, at);
}
