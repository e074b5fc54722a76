/* The envelope's bytes, apart from any line. */
#ifndef CIB_CORE_H
#define CIB_CORE_H

#include "../include/cib.h"

#define CIB_CHALLENGE 48
#define CIB_OPENING 72
#define CIB_OPEN 84
#define CIB_NEXT 36
#define CIB_RESPONSE 20

void cib_put16(uint8_t *at, uint32_t value);
void cib_put32(uint8_t *at, uint32_t value);
void cib_put64(uint8_t *at, uint64_t value);
uint32_t cib_get16(const uint8_t *at);
uint32_t cib_get32(const uint8_t *at);
uint64_t cib_get64(const uint8_t *at);

/* The first message of a session from a challenge: writes its prefix, of which the key id and the
 * 16 bytes of `nonce` are part, and makes the session. */
int cib_core_open(cib_session *session, const uint8_t challenge[CIB_CHALLENGE], const uint8_t key_id[8],
                  const uint8_t secret[32], const uint8_t nonce[16], const uint8_t salt[8],
                  uint8_t prefix[CIB_OPEN]);

/* As cib_core_open, for a line of records without HTTP. */
int cib_core_connect(cib_session *session, const uint8_t challenge[CIB_CHALLENGE], const uint8_t key_id[8],
                     const uint8_t secret[32], const uint8_t nonce[16], const uint8_t salt[8],
                     uint8_t prefix[CIB_OPEN]);

/* A later message: writes its prefix. Counts session->next up. */
void cib_core_next(cib_session *session, const uint8_t salt[8], uint8_t prefix[CIB_NEXT]);

/* The records of the message with that prefix. */
int cib_core_request(const cib_session *session, const uint8_t *prefix, size_t length, cib_records *records);

/* The records of the answer to it. */
int cib_core_response(const cib_session *session, const uint8_t *prefix, size_t length,
                      const uint8_t response[CIB_RESPONSE], cib_records *records);

/* The records of a message that was subscribed to at a broker, which begins with that prefix; its
 * number in the session is cib_get32(prefix + 24). */
int cib_core_push(const cib_session *session, const uint8_t prefix[CIB_NEXT], cib_records *records);

/* Seals a record in place: `record` has 2 bytes of room, the plaintext, and 16 bytes of room. */
int cib_core_seal(cib_records *records, const uint8_t *prefix, size_t prefix_length, uint8_t *record,
                  size_t length, int is_last);

/* What follows the two bytes of a record: how many bytes, or a fault. */
int cib_core_length(const cib_records *records, const uint8_t header[2]);

/* Opens a record in place. `record` is all of it. Returns the length of the plaintext, which stands
 * behind the two bytes. */
int cib_core_open_record(cib_records *records, const uint8_t *prefix, size_t prefix_length, uint8_t *record);

#endif
