/* ESP32: shows on a lamp whether a session waits for its person. The radio has to be up (call
 * follow_start after you got an address), which is also what makes esp_random good. */
#include <string.h>
#include <unistd.h>

#include "cib.h"
#include "esp_random.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "lwip/netdb.h"
#include "lwip/sockets.h"

#define BOX "box.local"
#define SESSION "00000000-0000-4000-8000-000000000000"
/* As `POST /api/tokens` with "kind":"device" answered them. Better kept in encrypted NVS. */
static const uint8_t key_id[8] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};
static const uint8_t secret[32] = {0};

void lamp(int is_on);
void follow_start(void);

static int send_bytes(void *context, const uint8_t *data, size_t length)
{
    while (length > 0) {
        int sent = (int)send(*(int *)context, data, length, 0);
        if (sent <= 0)
            return -1;
        data += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int receive_bytes(void *context, uint8_t *data, size_t most)
{
    return (int)recv(*(int *)context, data, most, 0);
}

static int random_bytes(void *context, uint8_t *to, size_t length)
{
    (void)context;
    esp_fill_random(to, length);
    return 0;
}

static uint32_t millis(void *context)
{
    (void)context;
    return (uint32_t)(esp_timer_get_time() / 1000);
}

static int connect_to_box(void)
{
    struct addrinfo wanted = {0}, *found = NULL;
    wanted.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(BOX, "8080", &wanted, &found) != 0 || !found)
        return -1;
    int line = socket(found->ai_family, SOCK_STREAM, 0);
    /* The box says that it lives every 20 seconds. */
    struct timeval patience = {60, 0};
    setsockopt(line, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (line >= 0 && connect(line, found->ai_addr, found->ai_addrlen) != 0) {
        close(line);
        line = -1;
    }
    freeaddrinfo(found);
    return line;
}

static void follow(void *unused)
{
    static uint8_t buffer[CIB_BUFFER(512)];
    static cib_client client;
    int line = -1;
    uint32_t seq = 0, wait = 1000;
    char text[24];
    cib_item item;
    const cib_io io = {&line, send_bytes, receive_bytes, random_bytes, millis};
    (void)unused;
    cib_begin(&client, &io, BOX, key_id, secret, buffer, sizeof buffer);
    for (;;) {
        line = connect_to_box();
        if (line >= 0 && cib_follow(&client, SESSION, seq) == 200) {
            while (cib_next(&client, &item) == 1) {
                wait = 1000;
                if (item.type != CIB_FRAME || item.goes_on)
                    continue;
                if (cib_json(item.payload, item.length, "seq", text, sizeof text) > 0) {
                    seq = 0;
                    for (const char *digit = text; *digit; digit++)
                        seq = seq * 10 + (uint32_t)(*digit - '0');
                }
                if (cib_json(item.payload, item.length, "state", text, sizeof text) > 0)
                    lamp(!strcmp(text, "waiting_for_input"));
            }
        }
        if (line >= 0)
            close(line);
        vTaskDelay(pdMS_TO_TICKS(wait));
        wait = wait < 60000 ? wait * 2 : 60000;
    }
}

void follow_start(void)
{
    xTaskCreate(follow, "follow", 4096, NULL, 5, NULL);
}
