#include "device.h"

#include <stdio.h>
#include <string.h>

static uint8_t buffer[CIB_BUFFER(512)], key_id[8], secret[32];

static void bytes(const char *hex, uint8_t *to, size_t length)
{
    for (size_t at = 0; at < length; at++) {
        int value = 0;
        for (int n = 0; n < 2; n++) {
            char c = hex[2 * at + (size_t)n];
            value = value * 16 + (c >= 'a' ? c - 'a' + 10 : c - '0');
        }
        to[at] = (uint8_t)value;
    }
}

static void found(void *context, const char *id, const char *state)
{
    (void)context;
    printf("found %s %s\n", id, state);
}

int device_run(const cib_io *io, const char *host, const device_config *config)
{
    cib_client client;
    cib_item item;
    char text[64], id[37];
    int status;
    bytes(config->key_id, key_id, sizeof key_id);
    bytes(config->secret, secret, sizeof secret);
    if (cib_begin(&client, io, host, key_id, secret, buffer, sizeof buffer))
        return 1;
    printf("listed %d\n", cib_list(&client, found, NULL));
    status = cib_create(&client, "{\"prompt\":\"say hi\"}", id);
    printf("created %d %s\n", status, id);
    printf("sent %d\n", cib_send(&client, config->session, "a \"quoted\" line", "first"));
    /* As after an answer that was lost: it is done once. */
    printf("sent %d\n", cib_send(&client, config->session, "a \"quoted\" line", "first"));
    printf("answered %d\n", cib_answer(&client, config->session, "q1", "Which one?", "the first"));
    printf("followed %d\n", cib_follow(&client, config->session, 0));
    while ((status = cib_next(&client, &item)) == 1) {
        if (item.type == CIB_FRAME && !item.goes_on && cib_json(item.payload, item.length, "seq", text, sizeof text) > 0) {
            printf("frame %s", text);
            if (cib_json(item.payload, item.length, "text", text, sizeof text) >= 0)
                printf(" %s", text);
            else if (cib_json(item.payload, item.length, "preview", text, sizeof text) >= 0)
                printf(" ~%.8s", text);
            printf("\n");
        }
        if (item.type == CIB_END && cib_json(item.payload, item.length, "reason", text, sizeof text) >= 0)
            printf("end %s\n", text);
    }
    printf("bye %d\n", status);
    return status;
}
