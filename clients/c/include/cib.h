/* A client of claude-in-box for devices without TLS: docs/AES-TRANSPORT.md is what it speaks.
 *
 * C99. It allocates nothing, has no globals and prints nothing. You bring three functions (send,
 * receive, random) and one buffer; src/cib_mbedtls.c or src/cib_psa.c brings AES-256-GCM and
 * SHA-256, or you do (src/cib_crypto.h).
 *
 * A client does one thing at a time: read an answer to its end before you ask again. */
#ifndef CIB_H
#define CIB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What goes wrong. A status of the API (200, 404, ...) is positive. */
enum {
    CIB_OK = 0,
    CIB_LINE = -1,      /* send or receive failed: connect again, then ask again */
    CIB_RANDOM = -2,    /* no random bytes */
    CIB_DAMAGED = -3,   /* the answer is not authentic, or was cut */
    CIB_TOO_LONG = -4,  /* it does not fit into the buffer */
    CIB_REFUSED = -5,   /* wrong key id or secret, or damage on the way: wait, then ask again */
    CIB_BUSY = -6,      /* the box wants you to wait: 1 s, then 2, up to 60 */
    CIB_MISUSE = -7     /* called at the wrong time, or with nonsense */
};

/* The line to the box. Each returns 0 when all is well; receive returns how many bytes came (at
 * least one), 0 if the line was closed, or something negative after a time-out of your own. */
typedef struct cib_io {
    void *context;
    int (*send)(void *context, const uint8_t *data, size_t length);
    int (*receive)(void *context, uint8_t *data, size_t most);
    int (*random)(void *context, uint8_t *out, size_t length);
    /* Milliseconds that only grow. May be NULL: then one call more is made after a long pause. */
    uint32_t (*millis)(void *context);
} cib_io;

/* A session: 64 bytes. Keep it in RAM that outlives deep sleep and the next call costs one round
 * trip; lose it and it costs two. Never write it to flash. */
typedef struct cib_session {
    uint8_t traffic[32];
    uint8_t sid[16];
    uint32_t next;
    uint32_t time_at;   /* millis() when time_ms was true */
    uint64_t time_ms;   /* 0: there is no session */
} cib_session;

/* One direction of one message. */
typedef struct cib_records {
    uint8_t key[32];
    uint32_t count;
    uint8_t is_over;
} cib_records;

typedef struct cib_client {
    cib_io io;
    const char *host;
    const uint8_t *key_id;   /* 8 bytes */
    const uint8_t *secret;   /* 32 bytes */
    uint8_t *buffer;
    size_t size;
    cib_session session;
    cib_records answer;
    uint32_t body_left;      /* of an HTTP body or chunk */
    uint8_t chunked, ended, staged, stage_at;
    uint8_t stage[32];
    uint16_t rest_at, rest_length;
    uint8_t first;           /* the buffer holds what follows the head of the answer */
    uint8_t kind;
} cib_client;

/* What a stream tells. */
typedef struct cib_item {
    uint8_t type;            /* CIB_HEARTBEAT, CIB_FRAME, CIB_END, or one to be skipped */
    uint8_t goes_on;         /* the payload goes on in the next item */
    const char *payload;     /* in the client's buffer, until the next call; not terminated */
    size_t length;
} cib_item;

enum { CIB_HEARTBEAT = 0x00, CIB_FRAME = 0x03, CIB_END = 0x7f };
enum { CIB_GET = 1, CIB_POST = 2, CIB_PUT = 3, CIB_PATCH = 4, CIB_DELETE = 5 };

/* Bytes of a buffer: a record, and what is around it. 274 to 4114. */
#define CIB_BUFFER(record) ((record) + 18)

/* Prepares a client. Everything that is pointed at has to stay. A session that was kept may be
 * copied into client->session afterwards. */
int cib_begin(cib_client *client, const cib_io *io, const char *host, const uint8_t key_id[8],
              const uint8_t secret[32], uint8_t *buffer, size_t size);

/* Asks a route. Returns the status of its answer. Read the answer with cib_read or, if it is a
 * stream, with cib_next. */
int cib_ask(cib_client *client, uint8_t method, const char *target, const char *body, size_t length);

/* The next piece of an answer's body: how many bytes, 0 at its end. Nothing of it counts before
 * that 0 came. */
int cib_read(cib_client *client, const char **piece);

/* The next item of a stream: 1, or 0 behind its end. */
int cib_next(cib_client *client, cib_item *item);

/* Reads an answer to its end and returns its status, for who does not want to know more. */
int cib_finish(cib_client *client, int status);

/* ---- What most devices do. `session` is a UUID of 36 characters. ---- */

/* GET /api/sessions. `found` is called for each with its id and state. */
int cib_list(cib_client *client, void (*found)(void *context, const char *id, const char *state),
             void *context);

/* POST /api/sessions with a JSON body; writes the new session's id. */
int cib_create(cib_client *client, const char *body, char id[37]);

/* Sends a prompt, UTF-8. `name` is your own name for it, or NULL: sent again with the same name it
 * is done once. */
int cib_send(cib_client *client, const char *session, const char *text, const char *name);

/* Answers a question of a frame `ask.question`: its id, its text, and the label that is chosen. */
int cib_answer(cib_client *client, const char *session, const char *id, const char *question,
               const char *label);

/* Follows a session from behind a seq. Frames that do not fit into the buffer come with their data
 * cut to a preview. Then call cib_next. */
int cib_follow(cib_client *client, const char *session, uint32_t from);

/* The first string or number of that key in some JSON, as text. Returns its length, or -1 if there
 * is none; what does not fit into `out` is cut, and `out` ends with a 0. */
int cib_json(const char *json, size_t length, const char *key, char *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
