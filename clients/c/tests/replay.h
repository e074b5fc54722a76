/* A line whose other end is a page of vectors: what is sent has to be what stands there, and what
 * is received comes in pieces of a few bytes. */
#ifndef REPLAY_H
#define REPLAY_H
#include "../include/cib.h"
typedef struct replay {
    const uint8_t *in;
    size_t in_length, in_at, piece;
    uint8_t *out;
    size_t out_most, out_length;
    uint8_t random[64];
    size_t random_at;
} replay;
cib_io replay_io(replay *line);
#endif
