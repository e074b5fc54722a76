/* STM32 behind a serial line: a modem, a radio module or a PC that passes bytes on to port 8080 of the
 * box, as `socat /dev/ttyUSB0,b115200,raw TCP:box:8080` does. */
#include <string.h>

#include "cib.h"
#include "stm32_hal.h"

#define SESSION "00000000-0000-4000-8000-000000000000"
static const uint8_t key_id[8] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};
static const uint8_t secret[32] = {0};

extern UART_HandleTypeDef line;
extern RNG_HandleTypeDef generator;

void follow(void);

static int send_bytes(void *context, const uint8_t *data, size_t length)
{
    (void)context;
    while (length > 0) {
        uint16_t part = length < 1024 ? (uint16_t)length : 1024;
        if (HAL_UART_Transmit(&line, (uint8_t *)(uintptr_t)data, part, 5000) != HAL_OK)
            return -1;
        data += part;
        length -= part;
    }
    return 0;
}

static int receive_bytes(void *context, uint8_t *data, size_t most)
{
    (void)context;
    (void)most;
    /* One by one: how many come is not known. With DMA it can be more. */
    return HAL_UART_Receive(&line, data, 1, 60000) == HAL_OK ? 1 : -1;
}

/* An STM32F0 or F1 has no generator: take a counter in flash, the unique id and noise of the ADC
 * through SHA-256, and know that it is weaker. */
static int random_bytes(void *context, uint8_t *to, size_t length)
{
    (void)context;
    while (length > 0) {
        uint32_t word;
        size_t part = length < sizeof word ? length : sizeof word;
        if (HAL_RNG_GenerateRandomNumber(&generator, &word) != HAL_OK)
            return -1;
        memcpy(to, &word, part);
        to += part;
        length -= part;
    }
    return 0;
}

static uint32_t millis(void *context)
{
    (void)context;
    return HAL_GetTick();
}

void follow(void)
{
    static uint8_t buffer[CIB_BUFFER(512)];
    static cib_client client;
    const cib_io io = {NULL, send_bytes, receive_bytes, random_bytes, millis};
    char text[24];
    cib_item item;
    cib_begin(&client, &io, "box", key_id, secret, buffer, sizeof buffer);
    if (cib_follow(&client, SESSION, 0) != 200)
        return;
    while (cib_next(&client, &item) == 1)
        if (item.type == CIB_FRAME && cib_json(item.payload, item.length, "state", text, sizeof text) > 0)
            HAL_GPIO_WritePin(GPIOA, GPIO_PIN_5, strcmp(text, "waiting_for_input") ? GPIO_PIN_RESET : GPIO_PIN_SET);
}
