/* Every call of the client and nothing else, to be measured. */
#include "../../include/cib.h"

volatile int sink;

static int send_bytes(void *context, const uint8_t *data, size_t length)
{
    (void)context;
    sink = data[length - 1];
    return 0;
}

static int receive_bytes(void *context, uint8_t *data, size_t most)
{
    (void)context;
    data[0] = (uint8_t)sink;
    return (int)(most != 0);
}

static void found(void *context, const char *id, const char *state)
{
    (void)context;
    sink = id[0] + state[0];
}

int main(void)
{
#ifndef EMPTY
    static cib_client client;
    static uint8_t buffer[CIB_BUFFER(512)];
    static const uint8_t key[32];
    static const cib_io io = {0, send_bytes, receive_bytes, receive_bytes, 0};
    char text[37];
    cib_item item;
    sink = cib_begin(&client, &io, "box", key, key, buffer, sizeof buffer);
    sink = cib_list(&client, found, 0);
    sink = cib_create(&client, "{}", text);
    sink = cib_send(&client, text, "text", "name");
    sink = cib_answer(&client, text, "id", "question", "label");
    sink = cib_follow(&client, text, 0);
    while (cib_next(&client, &item) == 1)
        sink = cib_json(item.payload, item.length, "seq", text, sizeof text);
#else
    (void)send_bytes;
    (void)receive_bytes;
    (void)found;
#endif
    return 0;
}
