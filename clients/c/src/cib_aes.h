/* One block of AES-256, for src/cib_gcm.c. */
#ifndef CIB_AES_H
#define CIB_AES_H

#include <stdint.h>

/* Room for an expanded key. */
#ifndef CIB_AES_WORDS
#define CIB_AES_WORDS 36
#endif

typedef struct cib_aes {
    uint64_t room[CIB_AES_WORDS];
} cib_aes;

int cib_aes_begin(cib_aes *aes, const uint8_t key[32]);
int cib_aes_block(cib_aes *aes, const uint8_t in[16], uint8_t out[16]);
void cib_aes_end(cib_aes *aes);

#endif
