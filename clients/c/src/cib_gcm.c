/* AES-256-GCM over nothing but the encryption of one block, for chips and libraries that have no
 * more: src/cib_mbedtls_aes.c, or your own cib_aes_begin and cib_aes_block. Its own part takes the
 * same time whatever the key and the data are, and no heap. */
#include "cib_aes.h"
#include "cib_crypto.h"

#include <string.h>

/* x = x * h in the field of GCM. */
static void multiply(uint32_t x[4], const uint32_t h[4])
{
    uint32_t z[4] = {0, 0, 0, 0}, v[4];
    memcpy(v, h, sizeof v);
    for (int bit = 0; bit < 128; bit++) {
        uint32_t mask = 0U - ((x[bit >> 5] >> (31 - (bit & 31))) & 1U);
        for (int n = 0; n < 4; n++)
            z[n] ^= v[n] & mask;
        uint32_t carry = 0U - (v[3] & 1U);
        v[3] = (v[3] >> 1) | (v[2] << 31);
        v[2] = (v[2] >> 1) | (v[1] << 31);
        v[1] = (v[1] >> 1) | (v[0] << 31);
        v[0] = (v[0] >> 1) ^ (carry & 0xe1000000U);
    }
    memcpy(x, z, sizeof z);
}

static uint32_t get(const uint8_t *at)
{
    return ((uint32_t)at[0] << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | at[3];
}

static void put(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static void absorb(uint32_t x[4], const uint32_t h[4], const uint8_t *data, size_t length)
{
    uint8_t block[16];
    for (size_t at = 0; at < length; at += 16) {
        size_t part = length - at < 16 ? length - at : 16;
        memset(block, 0, sizeof block);
        memcpy(block, data + at, part);
        for (int n = 0; n < 4; n++)
            x[n] ^= get(block + 4 * n);
        multiply(x, h);
    }
}

typedef struct state {
    cib_aes aes;
    uint32_t h[4], x[4];
    uint8_t counter[16];
} state;

static int begin(state *gcm, const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t length)
{
    uint8_t block[16] = {0};
    memset(gcm->x, 0, sizeof gcm->x);
    int fault = cib_aes_begin(&gcm->aes, key) || cib_aes_block(&gcm->aes, block, block);
    for (int n = 0; n < 4; n++)
        gcm->h[n] = get(block + 4 * n);
    memcpy(gcm->counter, nonce, 12);
    put(gcm->counter + 12, 1);
    absorb(gcm->x, gcm->h, aad, length);
    return fault;
}

static int crypt(state *gcm, uint8_t *data, size_t length)
{
    uint8_t stream[16];
    int fault = 0;
    for (size_t at = 0; at < length; at += 16) {
        size_t part = length - at < 16 ? length - at : 16;
        put(gcm->counter + 12, (uint32_t)(at / 16 + 2));
        fault |= cib_aes_block(&gcm->aes, gcm->counter, stream);
        for (size_t n = 0; n < part; n++)
            data[at + n] = (uint8_t)(data[at + n] ^ stream[n]);
    }
    return fault;
}

static int end(state *gcm, size_t aad_length, size_t length, uint8_t tag[16])
{
    uint8_t block[16];
    memset(block, 0, sizeof block);
    put(block + 4, (uint32_t)(aad_length * 8));
    put(block + 12, (uint32_t)(length * 8));
    absorb(gcm->x, gcm->h, block, 16);
    put(gcm->counter + 12, 1);
    int fault = cib_aes_block(&gcm->aes, gcm->counter, block);
    for (int n = 0; n < 4; n++)
        put(tag + 4 * n, gcm->x[n] ^ get(block + 4 * n));
    cib_aes_end(&gcm->aes);
    return fault;
}

int cib_gcm_seal(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_length,
                 uint8_t *data, size_t length, uint8_t tag[16])
{
    state gcm;
    int fault = begin(&gcm, key, nonce, aad, aad_length);
    fault |= crypt(&gcm, data, length);
    absorb(gcm.x, gcm.h, data, length);
    return fault | end(&gcm, aad_length, length, tag);
}

int cib_gcm_open(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_length,
                 uint8_t *data, size_t length, const uint8_t tag[16])
{
    state gcm;
    uint8_t expected[16];
    uint32_t different = 0;
    int fault = begin(&gcm, key, nonce, aad, aad_length);
    absorb(gcm.x, gcm.h, data, length);
    /* The stream does not depend on the sum, so what is wrong is wiped afterwards. */
    fault |= crypt(&gcm, data, length);
    fault |= end(&gcm, aad_length, length, expected);
    for (int n = 0; n < 16; n++)
        different |= (uint32_t)(expected[n] ^ tag[n]);
    if (different || fault) {
        if (length)
            memset(data, 0, length);
        return 1;
    }
    return 0;
}
