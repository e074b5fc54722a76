/* The client against the vectors of the page: it has to send them and to understand them, however
 * the line cuts them. Runs on a host and on bare metal. */
#include <stdio.h>
#include <string.h>

#include "../include/cib.h"
#include "../src/cib_core.h"
#include "replay.h"
#include "vectors.h"

#ifdef VECTORS_PSA
#include <psa/crypto.h>
#endif

static int faults;

#define CHECK(what)                                                                                        \
    do {                                                                                                   \
        if (!(what)) {                                                                                     \
            printf("line %d: %s\n", __LINE__, #what);                                                      \
            faults++;                                                                                      \
        }                                                                                                  \
    } while (0)

#define SESSION "00000000-0000-4000-8000-000000000000"

static uint8_t out[4096], in[4096], buffer[CIB_BUFFER(4096)];
static size_t in_length;

static void add(const void *data, size_t length)
{
    memcpy(in + in_length, data, length);
    in_length += length;
}

/* An answer of HTTP with a vector in it, whole or in chunks. */
static void answer(const char *name, size_t chunk)
{
    const vector *body = vector_of(name);
    char text[128];
    if (!chunk) {
        add(text, (size_t)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: %u\r\n\r\n",
                                   (unsigned)body->length));
        add(body->bytes, body->length);
        return;
    }
    add(text, (size_t)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"));
    for (size_t at = 0; at < body->length; at += chunk) {
        size_t part = body->length - at < chunk ? body->length - at : chunk;
        add(text, (size_t)snprintf(text, sizeof text, "%X\r\n", (unsigned)part));
        add(body->bytes + at, part);
        add("\r\n", 2);
    }
    add("0\r\n\r\n", 5);
}

static int sent(const replay *line, const char *name)
{
    const vector *body = vector_of(name);
    return line->out_length >= body->length &&
           !memcmp(line->out + line->out_length - body->length, body->bytes, body->length);
}

static void count_up(uint8_t *to, uint8_t from, size_t length)
{
    for (size_t at = 0; at < length; at++)
        to[at] = (uint8_t)(from + at);
}

/* Requests 0, 1 and 2 of the page, and what they are answered. */
static void conversation(size_t piece, size_t chunk)
{
    replay line = {in, 0, 0, piece, out, sizeof out, 0, {0}, 0};
    cib_io io = replay_io(&line);
    cib_client client;
    cib_item item;
    const char *text;
    static const char body[] = "{\"data\":\"hello\\n\",\"encoding\":\"utf8\"}";
    char joined[600];
    size_t length = 0;
    count_up(line.random, 0x80, 16);
    count_up(line.random + 16, 0x20, 24);
    in_length = 0;
    answer("challenge", chunk);
    answer("response-0", chunk);
    CHECK(!cib_begin(&client, &io, "box", vector_of("key-id")->bytes, vector_of("secret")->bytes, buffer,
                     sizeof buffer));
    line.in_length = in_length;
    CHECK(cib_ask(&client, CIB_POST, "/api/sessions/abc123/input", body, sizeof body - 1) == 200);
    CHECK(!memcmp(client.session.traffic, vector_of("traffic")->bytes, 32));
    CHECK(!memcmp(client.session.sid, vector_of("sid")->bytes, 16));
    CHECK(sent(&line, "request-0"));
    int got = cib_read(&client, &text);
    CHECK(got == 11 && !memcmp(text, "{\"bytes\":6}", 11));
    CHECK(cib_read(&client, &text) == 0);

    in_length = line.in_at = line.out_length = 0;
    answer("response-1", chunk);
    line.in_length = in_length;
    client.size = CIB_BUFFER(256);
    CHECK(cib_ask(&client, CIB_GET, "/api/sessions/abc123/events?from=0", NULL, 0) == 200);
    CHECK(sent(&line, "request-1"));
    CHECK(cib_next(&client, &item) == 1 && item.type == CIB_FRAME && item.length == 9);
    CHECK(cib_json(item.payload, item.length, "seq", joined, sizeof joined) == 1 && joined[0] == '1');
    CHECK(cib_next(&client, &item) == 1 && item.type == CIB_HEARTBEAT && item.length == 8);
    do {
        CHECK(cib_next(&client, &item) == 1 && item.type == CIB_FRAME);
        CHECK(length + item.length < sizeof joined);
        memcpy(joined + length, item.payload, item.length);
        length += item.length;
    } while (item.goes_on);
    CHECK(length == 289 && !memcmp(joined, "{\"seq\":2,\"data\":\"xxx", 20));
    CHECK(cib_next(&client, &item) == 1 && item.type == CIB_END);
    CHECK(cib_json(item.payload, item.length, "reason", joined, sizeof joined) == 7);
    CHECK(!strcmp(joined, "stopped"));
    CHECK(cib_next(&client, &item) == 0);
}

/* The opening of a line without HTTP, a call on it, and what it is answered. */
static void line_of_records(void)
{
    uint8_t prefix[CIB_OPEN], record[64], nonce[16], salt[8];
    cib_session session;
    cib_records request, answer;
    count_up(nonce, 0xa8, sizeof nonce);
    count_up(salt, 0xa0, sizeof salt);
    const vector *opening = vector_of("tcp-opening"), *told = vector_of("tcp-answer");
    CHECK(!cib_core_connect(&session, vector_of("tcp-challenge")->bytes, vector_of("key-id")->bytes,
                            vector_of("secret")->bytes, nonce, salt, prefix));
    CHECK(!cib_core_request(&session, prefix, sizeof prefix, &request));
    cib_put64(record + 2, session.time_ms);
    cib_put16(record + 10, 4096);
    CHECK(!cib_core_seal(&request, prefix, sizeof prefix, record, 10, 0));
    CHECK(!memcmp(prefix, opening->bytes, sizeof prefix) && !memcmp(record, opening->bytes + sizeof prefix, 28));
    CHECK(!cib_core_response(&session, prefix, sizeof prefix, told->bytes, &answer));
    memcpy(record, told->bytes + 20, told->length - 20);
    CHECK(cib_core_open_record(&answer, told->bytes, 20, record) == 11 && record[12] == 3);
    memcpy(record, vector_of("tcp-reply")->bytes, vector_of("tcp-reply")->length);
    CHECK(cib_core_open_record(&answer, NULL, 0, record) == 21 && record[2] == 2 && record[5] == 7);
    /* What that session has subscribed to, and what it has not. */
    const vector *push = vector_of("push-5");
    memcpy(prefix, push->bytes, CIB_NEXT);
    CHECK(!cib_core_push(&session, prefix, &answer) && cib_get32(prefix + 24) == 5);
    memcpy(record, push->bytes + CIB_NEXT, push->length - CIB_NEXT);
    CHECK(cib_core_open_record(&answer, prefix, CIB_NEXT, record) == 9 && !memcmp(record + 2, "{\"seq\":3}", 9));
    CHECK(answer.is_over);
    prefix[8] ^= 1;
    CHECK(cib_core_push(&session, prefix, &answer) < 0);
    prefix[8] ^= 1;
    prefix[27] ^= 1;
    memcpy(record, push->bytes + CIB_NEXT, push->length - CIB_NEXT);
    CHECK(!cib_core_push(&session, prefix, &answer) && cib_core_open_record(&answer, prefix, CIB_NEXT, record) < 0);
}

/* An answer with one bit changed, or cut anywhere, is never taken for one. */
static void damage(void)
{
    cib_client client;
    const char *text;
    in_length = 0;
    answer("challenge", 0);
    size_t begin = in_length;
    answer("response-0", 0);
    for (size_t at = begin + 60; at < in_length; at++) {
        replay line = {in, in_length, 0, 64, out, sizeof out, 0, {0}, 0};
        cib_io io = replay_io(&line);
        count_up(line.random, 0x80, 16);
        count_up(line.random + 16, 0x20, 8);
        in[at] ^= 1;
        cib_begin(&client, &io, "box", vector_of("key-id")->bytes, vector_of("secret")->bytes, buffer,
                  sizeof buffer);
        int status = cib_ask(&client, CIB_POST, "/api/sessions/abc123/input",
                             "{\"data\":\"hello\\n\",\"encoding\":\"utf8\"}", 36);
        CHECK(status < 0);
        in[at] ^= 1;
        line.in_at = line.out_length = line.random_at = 0;
        line.in_length = at;
        status = cib_ask(&client, CIB_POST, "/api/sessions/abc123/input", "{}", 2);
        CHECK(status < 0 || cib_read(&client, &text) < 0);
    }
}

static void json(void)
{
    static const char text[] = "{\"a\":{\"b\":[1,2]},\"text\" : \"q\\u00e4 \\\"x\\\" \\n\", \"n\":-1.5e3,\"key\":\"v\"}";
    char to[16];
    CHECK(cib_json(text, sizeof text - 1, "text", to, sizeof to) == 9 && !strcmp(to, "q\303\244 \"x\" \n"));
    CHECK(cib_json(text, sizeof text - 1, "n", to, sizeof to) == 6 && !strcmp(to, "-1.5e3"));
    CHECK(cib_json(text, sizeof text - 1, "key", to, sizeof to) == 1);
    CHECK(cib_json(text, sizeof text - 1, "v", to, sizeof to) == -1);
    CHECK(cib_json(text, sizeof text - 1, "text", to, 3) == 1);
    for (size_t cut = 0; cut < sizeof text; cut++)
        cib_json(text, cut, "key", to, sizeof to);
}

/* What is sent is JSON whatever is in it. */
static void escapes(void)
{
    replay line = {in, 0, 0, 64, out, sizeof out, 0, {0}, 0};
    cib_io io = replay_io(&line);
    cib_client client;
    in_length = 0;
    answer("challenge", 0);
    line.in_length = in_length;
    cib_begin(&client, &io, "box", vector_of("key-id")->bytes, vector_of("secret")->bytes, buffer,
              CIB_BUFFER(256));
    CHECK(cib_send(&client, SESSION, "say \"hi\"\n\001", "once") == CIB_LINE);
    CHECK(cib_send(&client, "no id", "x", NULL) == CIB_MISUSE);
    /* Records of 256 bytes, in the length that was announced. */
    const char *head = (const char *)out;
    out[line.out_length] = 0;
    head = strstr(head, "POST ");
    CHECK(head != NULL);
    const char *announced = head ? strstr(head, "Content-Length: ") : NULL;
    const char *begin = head ? strstr(head, "\r\n\r\n") : NULL;
    CHECK(announced && begin);
    if (announced && begin) {
        unsigned length = 0;
        CHECK(sscanf(announced + 16, "%u", &length) == 1);
        CHECK(length == line.out_length - (size_t)(begin + 4 - (const char *)out));
    }
}

int main(void)
{
#ifdef VECTORS_PSA
    CHECK(psa_crypto_init() == PSA_SUCCESS);
#endif
    for (size_t piece = 1; piece < 80; piece += 13) {
        conversation(piece, 0);
        conversation(piece, 1);
        conversation(piece, 40);
        conversation(piece, 5000);
    }
    line_of_records();
    damage();
    json();
    escapes();
    printf(faults ? "%d faults\n" : "ok\n", faults);
    return faults != 0;
}
