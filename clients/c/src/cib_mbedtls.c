/* AES-256-GCM and SHA-256 by mbedTLS 2.28 or 3. Your chip's own AES, where mbedTLS has a driver
 * for it, is used by itself. */
#include <string.h>

#include <mbedtls/gcm.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#include "cib_crypto.h"

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

/* If this fails, compile everything with a larger CIB_SHA256_WORDS. */
typedef char cib_sha256_fits[sizeof(mbedtls_sha256_context) <= sizeof(cib_sha256) ? 1 : -1];

int cib_sha256_begin(cib_sha256 *sha)
{
    mbedtls_sha256_context *context = (mbedtls_sha256_context *)(void *)sha;
    mbedtls_sha256_init(context);
    return mbedtls_sha256_starts(context, 0);
}

int cib_sha256_update(cib_sha256 *sha, const uint8_t *data, size_t length)
{
    return mbedtls_sha256_update((mbedtls_sha256_context *)(void *)sha, data, length);
}

int cib_sha256_end(cib_sha256 *sha, uint8_t digest[32])
{
    mbedtls_sha256_context *context = (mbedtls_sha256_context *)(void *)sha;
    int fault = mbedtls_sha256_finish(context, digest);
    mbedtls_sha256_free(context);
    return fault;
}

int cib_gcm_seal(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_length,
                 uint8_t *data, size_t length, uint8_t tag[16])
{
    mbedtls_gcm_context context;
    mbedtls_gcm_init(&context);
    int fault = mbedtls_gcm_setkey(&context, MBEDTLS_CIPHER_ID_AES, key, 256);
    if (!fault)
        fault = mbedtls_gcm_crypt_and_tag(&context, MBEDTLS_GCM_ENCRYPT, length, nonce, 12, aad, aad_length,
                                          data, data, 16, tag);
    mbedtls_gcm_free(&context);
    return fault;
}

int cib_gcm_open(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_length,
                 uint8_t *data, size_t length, const uint8_t tag[16])
{
    mbedtls_gcm_context context;
    mbedtls_gcm_init(&context);
    int fault = mbedtls_gcm_setkey(&context, MBEDTLS_CIPHER_ID_AES, key, 256);
    if (!fault)
        fault = mbedtls_gcm_auth_decrypt(&context, length, nonce, 12, aad, aad_length, tag, 16, data, data);
    mbedtls_gcm_free(&context);
    return fault;
}
