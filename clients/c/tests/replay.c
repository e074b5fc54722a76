#include "replay.h"

#include <string.h>

static int take_out(void *context, const uint8_t *data, size_t length)
{
    replay *line = context;
    if (line->out_length + length > line->out_most)
        return -1;
    memcpy(line->out + line->out_length, data, length);
    line->out_length += length;
    return 0;
}

static int give_in(void *context, uint8_t *data, size_t most)
{
    replay *line = context;
    size_t there = line->in_length - line->in_at;
    size_t part = there < most ? there : most;
    if (part > line->piece)
        part = line->piece;
    memcpy(data, line->in + line->in_at, part);
    line->in_at += part;
    return (int)part;
}

static int give_random(void *context, uint8_t *out, size_t length)
{
    replay *line = context;
    if (line->random_at + length > sizeof line->random)
        return -1;
    memcpy(out, line->random + line->random_at, length);
    line->random_at += length;
    return 0;
}

cib_io replay_io(replay *line)
{
    const cib_io io = {line, take_out, give_in, give_random, NULL};
    return io;
}
