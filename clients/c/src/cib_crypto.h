/* The four functions that a back end has: src/cib_mbedtls.c, src/cib_psa.c, or your own. */
#ifndef CIB_CRYPTO_H
#define CIB_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

/* Room for a back end's SHA-256; a back end that needs more refuses to compile. */
#ifndef CIB_SHA256_WORDS
#define CIB_SHA256_WORDS 16
#endif

typedef struct cib_sha256 {
    uint64_t room[CIB_SHA256_WORDS];
} cib_sha256;

int cib_sha256_begin(cib_sha256 *sha);
int cib_sha256_update(cib_sha256 *sha, const uint8_t *data, size_t length);
int cib_sha256_end(cib_sha256 *sha, uint8_t digest[32]);

/* AES-256-GCM in place with a nonce of 12 bytes. `seal` writes the tag, `open` compares it and
 * leaves nothing in `data` if it is wrong. 0 when all is well. */
int cib_gcm_seal(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_length,
                 uint8_t *data, size_t length, uint8_t tag[16]);
int cib_gcm_open(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_length,
                 uint8_t *data, size_t length, const uint8_t tag[16]);

#endif
