/* SHA-256 and blocks of AES by mbedTLS 2.28 or 3, for src/cib_gcm.c: smaller than src/cib_mbedtls.c,
 * and without the heap that mbedTLS 2.28 takes for GCM. */
#include <mbedtls/aes.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#include "cib_aes.h"
#include "cib_crypto.h"

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

typedef char cib_aes_fits[sizeof(mbedtls_aes_context) <= sizeof(cib_aes) ? 1 : -1];

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

int cib_aes_begin(cib_aes *aes, const uint8_t key[32])
{
    mbedtls_aes_init((mbedtls_aes_context *)(void *)aes);
    return mbedtls_aes_setkey_enc((mbedtls_aes_context *)(void *)aes, key, 256);
}

int cib_aes_block(cib_aes *aes, const uint8_t in[16], uint8_t out[16])
{
#ifdef MBEDTLS_AES_ALT
    return mbedtls_aes_crypt_ecb((mbedtls_aes_context *)(void *)aes, MBEDTLS_AES_ENCRYPT, in, out);
#else
    /* The same without decryption, which GCM has no use for: 2.5 kB of flash. */
    return mbedtls_internal_aes_encrypt((mbedtls_aes_context *)(void *)aes, in, out);
#endif
}

void cib_aes_end(cib_aes *aes)
{
    mbedtls_aes_free((mbedtls_aes_context *)(void *)aes);
}
