#include "cib_core.h"

#include <string.h>

#include "cib_crypto.h"

void cib_put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void cib_put32(uint8_t *at, uint32_t value)
{
    cib_put16(at, value >> 16);
    cib_put16(at + 2, value & 0xffff);
}

void cib_put64(uint8_t *at, uint64_t value)
{
    cib_put32(at, (uint32_t)(value >> 32));
    cib_put32(at + 4, (uint32_t)value);
}

uint32_t cib_get16(const uint8_t *at)
{
    return ((uint32_t)at[0] << 8) | at[1];
}

uint32_t cib_get32(const uint8_t *at)
{
    return (cib_get16(at) << 16) | cib_get16(at + 2);
}

uint64_t cib_get64(const uint8_t *at)
{
    return ((uint64_t)cib_get32(at) << 32) | cib_get32(at + 4);
}

/* HMAC-SHA256 of up to four pieces; pieces of length 0 are none. */
typedef struct piece {
    const void *data;
    size_t length;
} piece;

static int hmac(const uint8_t key[32], const piece *pieces, size_t count, uint8_t out[32])
{
    uint8_t pad[64];
    cib_sha256 sha;
    int fault = 0;
    for (int outer = 0; outer < 2 && !fault; outer++) {
        memset(pad, outer ? 0x5c : 0x36, sizeof pad);
        for (size_t at = 0; at < 32; at++)
            pad[at] = (uint8_t)(pad[at] ^ key[at]);
        fault |= cib_sha256_begin(&sha);
        fault |= cib_sha256_update(&sha, pad, sizeof pad);
        if (outer)
            fault |= cib_sha256_update(&sha, out, 32);
        else
            for (size_t n = 0; n < count; n++)
                if (pieces[n].length)
                    fault |= cib_sha256_update(&sha, pieces[n].data, pieces[n].length);
        fault |= cib_sha256_end(&sha, out);
    }
    memset(pad, 0, sizeof pad);
    return fault ? CIB_DAMAGED : CIB_OK;
}

/* The first block of HKDF-Expand. */
static int expand(const uint8_t key[32], const char *label, const void *more, size_t length, uint8_t out[32])
{
    static const uint8_t one = 1;
    const piece pieces[3] = {{label, strlen(label)}, {more, length}, {&one, 1}};
    return hmac(key, pieces, 3, out);
}

static void lead(uint8_t *prefix, uint8_t kind)
{
    memcpy(prefix, "CIB3", 4);
    prefix[4] = kind;
    prefix[5] = 1;
    prefix[6] = prefix[7] = 0;
}

static int open_as(uint8_t kind, cib_session *session, const uint8_t challenge[CIB_CHALLENGE],
                   const uint8_t key_id[8], const uint8_t secret[32], const uint8_t nonce[16],
                   const uint8_t salt[8], uint8_t prefix[CIB_OPEN])
{
    uint8_t key[32];
    cib_sha256 sha;
    lead(prefix, 2);
    if (memcmp(prefix, challenge, 8) != 0)
        return CIB_DAMAGED;
    lead(prefix, kind);
    memcpy(prefix + 8, key_id, 8);
    memcpy(prefix + 16, nonce, 16);
    memcpy(prefix + 32, challenge + 8, 40);
    memset(prefix + CIB_OPENING, 0, 4);
    memcpy(prefix + 76, salt, 8);
    /* prk = extract(SHA256(opening), secret) */
    if (cib_sha256_begin(&sha) || cib_sha256_update(&sha, prefix, CIB_OPENING) || cib_sha256_end(&sha, key))
        return CIB_DAMAGED;
    const piece ikm = {secret, 32};
    uint8_t prk[32];
    int fault = hmac(key, &ikm, 1, prk);
    fault |= expand(prk, "CIB3 traffic", NULL, 0, session->traffic);
    fault |= expand(prk, "CIB3 session", NULL, 0, key);
    memcpy(session->sid, key, 16);
    memset(prk, 0, sizeof prk);
    session->next = 1;
    session->time_ms = cib_get64(challenge + 8);
    return fault ? CIB_DAMAGED : CIB_OK;
}

int cib_core_open(cib_session *session, const uint8_t challenge[CIB_CHALLENGE], const uint8_t key_id[8],
                  const uint8_t secret[32], const uint8_t nonce[16], const uint8_t salt[8],
                  uint8_t prefix[CIB_OPEN])
{
    return open_as(3, session, challenge, key_id, secret, nonce, salt, prefix);
}

int cib_core_connect(cib_session *session, const uint8_t challenge[CIB_CHALLENGE], const uint8_t key_id[8],
                     const uint8_t secret[32], const uint8_t nonce[16], const uint8_t salt[8],
                     uint8_t prefix[CIB_OPEN])
{
    return open_as(5, session, challenge, key_id, secret, nonce, salt, prefix);
}

void cib_core_next(cib_session *session, const uint8_t salt[8], uint8_t prefix[CIB_NEXT])
{
    lead(prefix, 4);
    memcpy(prefix + 8, session->sid, 16);
    cib_put32(prefix + 24, session->next++);
    memcpy(prefix + 28, salt, 8);
}

static void begin(cib_records *records)
{
    records->count = 0;
    records->is_over = 0;
}

int cib_core_request(const cib_session *session, const uint8_t *prefix, size_t length, cib_records *records)
{
    begin(records);
    /* n and salt are the last 12 bytes. */
    return expand(session->traffic, "CIB3 request", prefix + length - 12, 12, records->key);
}

int cib_core_response(const cib_session *session, const uint8_t *prefix, size_t length,
                      const uint8_t response[CIB_RESPONSE], cib_records *records)
{
    uint8_t info[20], expected[12];
    lead(expected, 6);
    memcpy(expected + 8, prefix + length - 12, 4);
    if (memcmp(expected, response, 12) != 0)
        return CIB_DAMAGED;
    memcpy(info, prefix + length - 12, 12);
    memcpy(info + 12, response + 12, 8);
    begin(records);
    return expand(session->traffic, "CIB3 response", info, sizeof info, records->key);
}

int cib_core_push(const cib_session *session, const uint8_t prefix[CIB_NEXT], cib_records *records)
{
    uint8_t expected[8];
    lead(expected, 7);
    if (memcmp(expected, prefix, 8) != 0 || memcmp(session->sid, prefix + 8, 16) != 0)
        return CIB_DAMAGED;
    begin(records);
    return expand(session->traffic, "CIB3 push", prefix + 24, 12, records->key);
}

static void nonce_of(const cib_records *records, int is_last, uint8_t nonce[12])
{
    memset(nonce, 0, 12);
    cib_put32(nonce + 7, records->count);
    nonce[11] = is_last ? 1 : 0;
}

int cib_core_seal(cib_records *records, const uint8_t *prefix, size_t prefix_length, uint8_t *record,
                  size_t length, int is_last)
{
    uint8_t nonce[12];
    if (records->is_over || length > 4096 || records->count >= (1UL << 24))
        return CIB_MISUSE;
    nonce_of(records, is_last, nonce);
    cib_put16(record, (uint32_t)length | (is_last ? 0x8000U : 0U));
    if (cib_gcm_seal(records->key, nonce, prefix, records->count ? 0 : prefix_length, record + 2, length,
                     record + 2 + length))
        return CIB_DAMAGED;
    records->count++;
    records->is_over = is_last ? 1 : 0;
    return CIB_OK;
}

int cib_core_length(const cib_records *records, const uint8_t header[2])
{
    uint32_t length = cib_get16(header) & 0x7fff;
    if (records->is_over || length > 4096 || records->count >= (1UL << 24))
        return CIB_DAMAGED;
    return (int)length + 16;
}

int cib_core_open_record(cib_records *records, const uint8_t *prefix, size_t prefix_length, uint8_t *record)
{
    uint8_t nonce[12];
    int is_last = (record[0] & 0x80) != 0;
    int length = cib_core_length(records, record);
    if (length < 0)
        return length;
    size_t plain = (size_t)length - 16;
    nonce_of(records, is_last, nonce);
    if (cib_gcm_open(records->key, nonce, prefix, records->count ? 0 : prefix_length, record + 2, plain,
                     record + 2 + plain)) {
        records->is_over = 1;
        return CIB_DAMAGED;
    }
    records->count++;
    records->is_over = is_last ? 1 : 0;
    return (int)plain;
}
