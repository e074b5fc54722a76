/* AES-256-GCM and SHA-256 by PSA, the way of mbedTLS 4 and of secure elements. Call
 * psa_crypto_init() before. Compile everything with -DCIB_SHA256_WORDS=48. */
#include <string.h>

#include <psa/crypto.h>

#include "cib_crypto.h"

typedef char cib_sha256_fits[sizeof(psa_hash_operation_t) <= sizeof(cib_sha256) ? 1 : -1];

/* PSA writes ciphertext and tag one behind the other, so the record's own place is used: the tag
 * stands behind the data there. */

int cib_sha256_begin(cib_sha256 *sha)
{
    psa_hash_operation_t *operation = (psa_hash_operation_t *)(void *)sha;
    memset(operation, 0, sizeof *operation);
    return psa_hash_setup(operation, PSA_ALG_SHA_256) != PSA_SUCCESS;
}

int cib_sha256_update(cib_sha256 *sha, const uint8_t *data, size_t length)
{
    return psa_hash_update((psa_hash_operation_t *)(void *)sha, data, length) != PSA_SUCCESS;
}

int cib_sha256_end(cib_sha256 *sha, uint8_t digest[32])
{
    size_t length = 0;
    return psa_hash_finish((psa_hash_operation_t *)(void *)sha, digest, 32, &length) != PSA_SUCCESS;
}

static int import(const uint8_t key[32], psa_key_usage_t usage, psa_key_id_t *id)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_usage_flags(&attributes, usage);
    psa_set_key_algorithm(&attributes, PSA_ALG_GCM);
    psa_set_key_type(&attributes, PSA_KEY_TYPE_AES);
    psa_set_key_bits(&attributes, 256);
    return psa_import_key(&attributes, key, 32, id) != PSA_SUCCESS;
}

int cib_gcm_seal(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_length,
                 uint8_t *data, size_t length, uint8_t tag[16])
{
    psa_key_id_t id;
    size_t made = 0;
    if (tag != data + length || import(key, PSA_KEY_USAGE_ENCRYPT, &id))
        return 1;
    psa_status_t status = psa_aead_encrypt(id, PSA_ALG_GCM, nonce, 12, aad, aad_length, data, length, data,
                                           length + 16, &made);
    psa_destroy_key(id);
    return status != PSA_SUCCESS || made != length + 16;
}

int cib_gcm_open(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_length,
                 uint8_t *data, size_t length, const uint8_t tag[16])
{
    psa_key_id_t id;
    size_t made = 0;
    if (tag != data + length || import(key, PSA_KEY_USAGE_DECRYPT, &id))
        return 1;
    psa_status_t status = psa_aead_decrypt(id, PSA_ALG_GCM, nonce, 12, aad, aad_length, data, length + 16,
                                           data, length, &made);
    psa_destroy_key(id);
    return status != PSA_SUCCESS || made != length;
}
