/* Whatever comes from the line, the client comes back with a fault or an answer and touches nothing
 * that is not its own. The line answers with the input, over and over. */
#include <string.h>

#include "../include/cib.h"
#include "../src/cib_core.h"
#include "replay.h"
#include "vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t input[1 << 16], out[1 << 16], buffer[CIB_BUFFER(300)];

static void none(void *context, const char *id, const char *state)
{
    (void)context;
    (void)id;
    (void)state;
}

/* What a broker says under a session's topic: half of the time of this session. */
static void pushed(const uint8_t *data, size_t size)
{
    static uint8_t record[2 + 4096 + 16];
    uint8_t prefix[CIB_OPEN], nonce[16], salt[8];
    cib_session session;
    cib_records records;
    for (size_t n = 0; n < sizeof nonce; n++)
        nonce[n] = (uint8_t)(0xa8 + n);
    for (size_t n = 0; n < sizeof salt; n++)
        salt[n] = (uint8_t)(0xa0 + n);
    if (size < CIB_NEXT || cib_core_connect(&session, vector_of("tcp-challenge")->bytes, vector_of("key-id")->bytes,
                                            vector_of("secret")->bytes, nonce, salt, prefix))
        return;
    memcpy(prefix, data, CIB_NEXT);
    if (data[CIB_NEXT - 1] & 1)
        memcpy(prefix, vector_of("push-5")->bytes, 24);
    if (cib_core_push(&session, prefix, &records))
        return;
    for (size_t at = CIB_NEXT; size - at >= 2;) {
        int length = cib_core_length(&records, data + at);
        if (length < 0 || size - at - 2 < (size_t)length)
            return;
        memcpy(record, data + at, (size_t)length + 2);
        if (cib_core_open_record(&records, prefix, CIB_NEXT, record) < 0)
            return;
        at += (size_t)length + 2;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char session[] = "00000000-0000-4000-8000-000000000000";
    cib_client client;
    cib_item item;
    const char *piece;
    char text[16];
    if (size < 1 || size > sizeof input / 2)
        return 0;
    /* A good challenge first, so that what follows is read as answers. */
    const vector *challenge = vector_of("challenge");
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-length: 48\r\n\r\n";
    size_t at = 0;
    if (data[0] & 1) {
        memcpy(input, head, sizeof head - 1);
        memcpy(input + sizeof head - 1, challenge->bytes, challenge->length);
        at = sizeof head - 1 + challenge->length;
    }
    memcpy(input + at, data + 1, size - 1);
    replay line = {input, at + size - 1, 0, (size_t)(data[0] >> 2) + 1, out, sizeof out, 0, {0}, 0};
    for (size_t n = 0; n < sizeof line.random; n++)
        line.random[n] = (uint8_t)(n < 16 ? 0x80 + n : 0x10 + n);
    cib_io io = replay_io(&line);
    cib_begin(&client, &io, "box", vector_of("key-id")->bytes, vector_of("secret")->bytes, buffer,
              sizeof buffer);
    if (cib_ask(&client, CIB_POST, "/api/sessions/abc123/input", "{\"data\":\"hello\\n\",\"encoding\":\"utf8\"}", 36) > 0) {
        while (cib_read(&client, &piece) > 0) {
        }
        while (cib_next(&client, &item) > 0) {
        }
    }
    cib_list(&client, none, NULL);
    cib_follow(&client, session, 1);
    while (cib_next(&client, &item) > 0) {
    }
    cib_json((const char *)data, size, "text", text, sizeof text);
    pushed(data, size);
    return 0;
}
