#include "../include/cib.h"

#include <string.h>

#include "cib_core.h"
#include "cib_http.h"

#define RECORD_MOST 4096
#define HEAD 13
#define ANSWER_HEAD 11
#define ITEM_HEAD 4

/* ---- Requests ---- */

/* A body in pieces. Those that are escaped become the inside of a JSON string. */
typedef struct part {
    const char *text;
    size_t length;
    int is_escaped;
} part;

typedef struct source {
    const part *parts;
    size_t count, at, inside;
} source;

/* One byte as JSON has it. Returns how many bytes that is. */
static size_t escape(uint8_t byte, uint8_t out[6])
{
    static const char hex[] = "0123456789abcdef";
    if (byte >= 0x20 && byte != '"' && byte != '\\') {
        out[0] = byte;
        return 1;
    }
    out[0] = '\\';
    if (byte == '"' || byte == '\\') {
        out[1] = byte;
        return 2;
    }
    out[1] = 'u';
    out[2] = out[3] = '0';
    out[4] = (uint8_t)hex[byte >> 4];
    out[5] = (uint8_t)hex[byte & 15];
    return 6;
}

/* As much of a body as fits; `to` may be NULL, to count. */
static size_t pull(source *from, uint8_t *to, size_t most)
{
    size_t made = 0;
    for (; from->at < from->count; from->at++, from->inside = 0) {
        const part *piece = &from->parts[from->at];
        for (; from->inside < piece->length; from->inside++) {
            uint8_t out[6] = {(uint8_t)piece->text[from->inside]};
            size_t length = piece->is_escaped ? escape(out[0], out) : 1;
            if (made + length > most)
                return made;
            if (to)
                memcpy(to + made, out, length);
            made += length;
        }
    }
    return made;
}

static uint32_t millis(const cib_client *client)
{
    return client->io.millis ? client->io.millis(client->io.context) : 0;
}

static uint64_t now(const cib_client *client)
{
    return client->session.time_ms + (uint32_t)(millis(client) - client->session.time_at);
}

static void forget(cib_client *client)
{
    memset(&client->session, 0, sizeof client->session);
}

static int random_bytes(cib_client *client, uint8_t *out, size_t length)
{
    return client->io.random(client->io.context, out, length) ? CIB_RANDOM : CIB_OK;
}

/* What an answer in the clear means. None of it is authentic, so no key is ever thrown away. */
static int clear(cib_client *client, int status)
{
    int fault = cib_http_drain(client);
    if (fault)
        return fault;
    if (status == 401 || status == 403 || status == 409)
        forget(client);
    return status == 403 ? CIB_REFUSED : CIB_BUSY;
}

/* Asks for a challenge and opens a session with it: the prefix of its first message. */
static int hello(cib_client *client, uint8_t prefix[CIB_OPEN])
{
    uint8_t challenge[CIB_CHALLENGE], random[24];
    int fault = cib_http_request(client, 0);
    int status = fault ? fault : cib_http_head(client);
    if (status < 0)
        return status;
    if (status != 200)
        return clear(client, status);
    if ((fault = cib_http_body(client, challenge, sizeof challenge)) != 0 || (fault = cib_http_drain(client)) != 0)
        return fault;
    if ((fault = random_bytes(client, random, sizeof random)) != 0)
        return fault;
    fault = cib_core_open(&client->session, challenge, client->key_id, client->secret, random, random + 16,
                          prefix);
    client->session.time_at = millis(client);
    if (fault)
        forget(client);
    return fault;
}

static size_t record_most(const cib_client *client)
{
    size_t most = client->size - 18;
    return most < RECORD_MOST ? most : RECORD_MOST;
}

/* Sends a request whose prefix is made. */
static int send_request(cib_client *client, const uint8_t *prefix, size_t prefix_length, uint8_t method,
                        const char *target, const part *parts, size_t count)
{
    size_t most = record_most(client), path = strlen(target), total = prefix_length;
    cib_records records;
    if (HEAD + path > most)
        return CIB_TOO_LONG;
    source rest = {parts, count, 0, 0};
    for (size_t room = most - HEAD - path, head = HEAD + path;; room = most, head = 0) {
        total += pull(&rest, NULL, room) + head + 18;
        if (rest.at == count)
            break;
    }
    int fault = cib_core_request(&client->session, prefix, prefix_length, &records);
    if (!fault)
        fault = cib_http_request(client, (uint32_t)total);
    if (!fault)
        fault = cib_http_send(client, prefix, prefix_length);
    uint8_t *plain = client->buffer + 2;
    cib_put64(plain, now(client));
    cib_put16(plain + 8, (uint32_t)most);
    plain[10] = method;
    cib_put16(plain + 11, (uint32_t)path);
    memcpy(plain + HEAD, target, path);
    source from = {parts, count, 0, 0};
    for (size_t length = HEAD + path; !fault; length = 0) {
        length += pull(&from, plain + length, most - length);
        int is_last = from.at == count;
        fault = cib_core_seal(&records, prefix, prefix_length, client->buffer, length, is_last);
        if (!fault)
            fault = cib_http_send(client, client->buffer, length + 18);
        if (is_last)
            break;
    }
    return fault;
}

/* The next record of the answer, into the buffer. Returns the length of its plaintext. */
static int record(cib_client *client, const uint8_t *prefix, size_t length)
{
    int fault = cib_http_body(client, client->buffer, 2);
    if (fault)
        return fault;
    int rest = cib_core_length(&client->answer, client->buffer);
    if (rest < 0)
        return rest;
    if ((size_t)rest + 2 > client->size)
        return CIB_TOO_LONG;
    if ((fault = cib_http_body(client, client->buffer + 2, (size_t)rest)) != 0)
        return fault;
    return cib_core_open_record(&client->answer, prefix, length, client->buffer);
}

/* One try. Returns the answer's status, and how far the clock was off. */
static int attempt(cib_client *client, uint8_t method, const char *target, const part *parts, size_t count,
                   uint64_t *off)
{
    uint8_t prefix[CIB_OPEN], response[CIB_RESPONSE];
    size_t length = CIB_NEXT;
    int fault;
    if (client->session.time_ms == 0) {
        if ((fault = hello(client, prefix)) != 0)
            return fault;
        length = CIB_OPEN;
    } else {
        if ((fault = random_bytes(client, response, 8)) != 0)
            return fault;
        cib_core_next(&client->session, response, prefix);
    }
    if ((fault = send_request(client, prefix, length, method, target, parts, count)) != 0)
        return fault;
    int status = cib_http_head(client);
    if (status < 0)
        return status;
    if (status != 200)
        return clear(client, status);
    if ((fault = cib_http_body(client, response, sizeof response)) != 0 ||
        (fault = cib_core_response(&client->session, prefix, length, response, &client->answer)) != 0)
        return fault;
    int plain = record(client, response, sizeof response);
    if (plain < 0)
        return plain;
    if (plain < ANSWER_HEAD)
        return CIB_DAMAGED;
    uint64_t told = cib_get64(client->buffer + 2), mine = now(client);
    *off = told > mine ? told - mine : mine - told;
    client->session.time_ms = told;
    client->session.time_at = millis(client);
    client->kind = client->buffer[12];
    client->first = 1;
    client->rest_at = 2 + ANSWER_HEAD;
    client->rest_length = (uint16_t)(plain - ANSWER_HEAD);
    return (int)cib_get16(client->buffer + 10);
}

static int ask(cib_client *client, uint8_t method, const char *target, const part *parts, size_t count)
{
    int status = CIB_BUSY;
    client->staged = client->stage_at = 0;
    /* A session that is gone, and a clock that is off, cost one more try each. */
    for (int tries = 0; tries < 3; tries++) {
        uint64_t off = 0;
        int had_session = client->session.time_ms != 0;
        status = attempt(client, method, target, parts, count, &off);
        if (status == CIB_BUSY && had_session && client->session.time_ms == 0)
            continue;
        if (status == 401 && off > 30000) {
            status = cib_finish(client, status);
            if (status == 401)
                continue;
        }
        break;
    }
    return status;
}

int cib_begin(cib_client *client, const cib_io *io, const char *host, const uint8_t key_id[8],
              const uint8_t secret[32], uint8_t *buffer, size_t size)
{
    if (!io->send || !io->receive || !io->random || size < CIB_BUFFER(256))
        return CIB_MISUSE;
    memset(client, 0, sizeof *client);
    client->io = *io;
    client->host = host;
    client->key_id = key_id;
    client->secret = secret;
    client->buffer = buffer;
    client->size = size;
    return CIB_OK;
}

int cib_ask(cib_client *client, uint8_t method, const char *target, const char *text, size_t length)
{
    const part whole = {text, length, 0};
    return ask(client, method, target, &whole, length ? 1 : 0);
}

/* The next record's plaintext, or 0 behind the last one and the HTTP body. */
static int next_plain(cib_client *client, const uint8_t **plain)
{
    if (client->first) {
        client->first = 0;
        *plain = client->buffer + client->rest_at;
        if (client->rest_length)
            return client->rest_length;
    }
    for (;;) {
        if (client->answer.is_over) {
            /* Nothing may stand behind the last record. */
            int fault = cib_http_more(client);
            return fault ? fault : client->ended ? 0 : CIB_DAMAGED;
        }
        int length = record(client, NULL, 0);
        *plain = client->buffer + 2;
        if (length != 0)
            return length;
    }
}

int cib_read(cib_client *client, const char **piece)
{
    const uint8_t *plain = NULL;
    if (client->kind != 1)
        return CIB_MISUSE;
    int length = next_plain(client, &plain);
    *piece = (const char *)plain;
    return length;
}

int cib_next(cib_client *client, cib_item *item)
{
    const uint8_t *plain = NULL;
    if (client->kind != 2)
        return CIB_MISUSE;
    int length = next_plain(client, &plain);
    if (length <= 0)
        return length;
    if (length < ITEM_HEAD || (plain[1] & 0xfe))
        return CIB_DAMAGED;
    item->type = plain[0];
    item->goes_on = plain[1] & 1;
    item->payload = (const char *)plain + ITEM_HEAD;
    item->length = (size_t)length - ITEM_HEAD;
    return 1;
}

int cib_finish(cib_client *client, int status)
{
    const uint8_t *plain;
    int length;
    if (status < 0)
        return status;
    while ((length = next_plain(client, &plain)) > 0) {
    }
    return length < 0 ? length : status;
}

/* ---- What most devices do ---- */

static size_t path_to(char target[128], const char *session, const char *rest)
{
    size_t at = cib_text_to(target, "/api/sessions/");
    if (strlen(session) != 36)
        return 0;
    at += cib_text_to(target + at, session);
    at += cib_text_to(target + at, rest);
    target[at] = 0;
    return at;
}

int cib_send(cib_client *client, const char *session, const char *text, const char *name)
{
    char target[128];
    if (!path_to(target, session, "/input"))
        return CIB_MISUSE;
    const part parts[5] = {{"{\"data\":\"", 9, 0},
                           {text, strlen(text), 1},
                           {"\\n\",\"client_id\":\"", 17, 0},
                           {name ? name : "", name ? strlen(name) : 0, 1},
                           {"\"}", 2, 0}};
    const part plain[3] = {parts[0], parts[1], {"\\n\"}", 4, 0}};
    return cib_finish(client, name ? ask(client, CIB_POST, target, parts, 5)
                                   : ask(client, CIB_POST, target, plain, 3));
}

int cib_answer(cib_client *client, const char *session, const char *id, const char *question,
               const char *label)
{
    char target[128];
    if (!path_to(target, session, "/answer"))
        return CIB_MISUSE;
    const part parts[7] = {{"{\"id\":\"", 7, 0},           {id, strlen(id), 1},
                           {"\",\"answers\":{\"", 14, 0}, {question, strlen(question), 1},
                           {"\":\"", 3, 0},               {label, strlen(label), 1},
                           {"\"}}", 3, 0}};
    return cib_finish(client, ask(client, CIB_POST, target, parts, 7));
}

int cib_follow(cib_client *client, const char *session, uint32_t from)
{
    char target[128];
    size_t at = path_to(target, session, "/events?from=");
    if (!at)
        return CIB_MISUSE;
    at += cib_digits_to(target + at, from);
    /* The smallest that the box takes; a smaller buffer gets such a frame in two pieces. */
    size_t most = record_most(client) - ITEM_HEAD;
    at += cib_text_to(target + at, "&max_frame=");
    at += cib_digits_to(target + at, (uint32_t)(most < 256 ? 256 : most));
    target[at] = 0;
    return ask(client, CIB_GET, target, NULL, 0);
}

/* A reader of JSON that comes in pieces: the strings of objects at one depth. */
typedef struct scan {
    int depth, wanted, length;
    uint8_t in_string, escaped, has_key;
    char word[40], key[8], id[40], state[20];
    void (*found)(void *context, const char *id, const char *state);
    void *context;
} scan;

static void copy(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);
    if (length >= size)
        length = size - 1;
    memcpy(to, from, length);
    to[length] = 0;
}

static void scan_byte(scan *in, char byte)
{
    if (in->in_string) {
        if (!in->escaped && byte == '"') {
            in->in_string = 0;
            in->word[in->length] = 0;
            if (in->has_key && in->depth == in->wanted) {
                if (!strcmp(in->key, "id"))
                    copy(in->id, sizeof in->id, in->word);
                else if (!strcmp(in->key, "state"))
                    copy(in->state, sizeof in->state, in->word);
            }
            return;
        }
        in->escaped = !in->escaped && byte == '\\';
        if (in->length < (int)sizeof in->word - 1)
            in->word[in->length++] = byte;
        return;
    }
    switch (byte) {
    case '"':
        in->in_string = 1;
        in->length = 0;
        break;
    case ':':
        in->has_key = 1;
        copy(in->key, sizeof in->key, in->word);
        break;
    case '{':
    case '[':
        in->depth++;
        in->has_key = 0;
        break;
    case '}':
    case ']':
        if (byte == '}' && in->depth == in->wanted && in->id[0]) {
            in->found(in->context, in->id, in->state);
            in->id[0] = in->state[0] = 0;
        }
        in->depth--;
        in->has_key = 0;
        break;
    case ',':
        in->has_key = 0;
        break;
    default:
        break;
    }
}

static int scan_answer(cib_client *client, int status, scan *in)
{
    const char *piece;
    int length;
    if (status < 0)
        return status;
    while ((length = cib_read(client, &piece)) > 0)
        if (status < 300)
            for (int at = 0; at < length; at++)
                scan_byte(in, piece[at]);
    return length < 0 ? length : status;
}

int cib_list(cib_client *client, void (*found)(void *context, const char *id, const char *state),
             void *context)
{
    scan in;
    memset(&in, 0, sizeof in);
    in.wanted = 3;
    in.found = found;
    in.context = context;
    return scan_answer(client, ask(client, CIB_GET, "/api/sessions", NULL, 0), &in);
}

static void keep_id(void *context, const char *id, const char *state)
{
    (void)state;
    copy(context, 37, id);
}

int cib_create(cib_client *client, const char *text, char id[37])
{
    scan in;
    memset(&in, 0, sizeof in);
    in.wanted = 1;
    in.found = keep_id;
    in.context = id;
    id[0] = 0;
    const part whole = {text, strlen(text), 0};
    int status = scan_answer(client, ask(client, CIB_POST, "/api/sessions", &whole, 1), &in);
    return status < 0 || status >= 300 || id[0] ? status : CIB_DAMAGED;
}
