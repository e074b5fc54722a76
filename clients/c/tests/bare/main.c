/* The device on bare metal: its UART is the line, and device.conf beside the emulator says who it
 * is and gives it something random, which the emulated machine has no source of. */
#include <stdio.h>
#include <string.h>

#include "../device.h"

#if defined(__arm__)
/* PL011 of an LM3S6965. */
#define UART ((volatile uint32_t *)0x4000C000)
static int is_empty(void) { return (UART[6] & 0x10) != 0; }
static int is_full(void) { return (UART[6] & 0x20) != 0; }
static void put(uint8_t byte) { UART[0] = byte; }
static uint8_t get(void) { return (uint8_t)UART[0]; }
#else
/* 16550 of QEMU's virt. */
#define UART ((volatile uint8_t *)0x10000000)
static int is_empty(void) { return (UART[5] & 1) == 0; }
static int is_full(void) { return (UART[5] & 0x20) == 0; }
static void put(uint8_t byte) { UART[0] = byte; }
static uint8_t get(void) { return UART[0]; }
#endif

static uint8_t seed[32];
static uint32_t drawn;

static int send_bytes(void *context, const uint8_t *data, size_t length)
{
    (void)context;
    for (; length > 0; data++, length--) {
        while (is_full()) {
        }
        put(*data);
    }
    return 0;
}

static int receive_bytes(void *context, uint8_t *data, size_t most)
{
    size_t got = 0;
    (void)context;
    while (is_empty()) {
    }
    while (got < most && !is_empty())
        data[got++] = get();
    return (int)got;
}

/* Good enough for a test: what the file says, counted on. */
static int random_bytes(void *context, uint8_t *to, size_t length)
{
    (void)context;
    for (; length > 0; to++, length--, drawn++)
        *to = (uint8_t)(seed[drawn % sizeof seed] + drawn / sizeof seed);
    return 0;
}

/* How deep the stack went below main: what is there no longer is as it was painted. */
#define DEPTH 8192

static volatile uint8_t *below;

static void __attribute__((noinline)) paint(void)
{
    below = (volatile uint8_t *)((uintptr_t)__builtin_frame_address(0) - DEPTH);
    for (size_t at = 0; at < DEPTH - 64; at++)
        below[at] = 0xa5;
}

static size_t painted_over(void)
{
    size_t at = 0;
    while (at < DEPTH - 64 && below[at] == 0xa5)
        at++;
    return DEPTH - at;
}

int main(void)
{
    device_config config;
    const cib_io io = {NULL, send_bytes, receive_bytes, random_bytes, NULL};
    FILE *file = fopen("device.conf", "rb");
    if (!file || fread(config.key_id, 1, 17, file) != 17 || fread(config.secret, 1, 65, file) != 65 ||
        fread(config.session, 1, 37, file) != 37 || fread(seed, 1, sizeof seed, file) != sizeof seed) {
        printf("no device.conf\n");
        return 1;
    }
    fclose(file);
    config.key_id[16] = config.secret[64] = config.session[36] = 0;
    paint();
    int status = device_run(&io, "box", &config);
    printf("stack %u\nclient %u\n", (unsigned)painted_over(), (unsigned)sizeof(cib_client));
    return status != 0;
}
