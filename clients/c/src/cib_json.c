#include <string.h>

#include "../include/cib.h"

/* A character of up to 0xffff as UTF-8. Halves of larger ones come out one by one, as they are. */
static size_t utf8(uint32_t code, char out[3])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | (code >> 6));
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | (code >> 12));
    out[1] = (char)(0x80 | ((code >> 6) & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

/* One character of a string, at `at`. Returns where the next one is; 0 if the text ends. */
static size_t character(const char *json, size_t length, size_t at, char out[3], size_t *made)
{
    *made = 1;
    if (json[at] != '\\') {
        out[0] = json[at];
        return at + 1;
    }
    if (++at >= length)
        return 0;
    switch (json[at]) {
    case 'n': out[0] = '\n'; break;
    case 't': out[0] = '\t'; break;
    case 'r': out[0] = '\r'; break;
    case 'b': out[0] = '\b'; break;
    case 'f': out[0] = '\f'; break;
    case 'u': {
        uint32_t code = 0;
        if (length - at < 5)
            return 0;
        for (size_t digit = 1; digit <= 4; digit++) {
            char c = (char)(json[at + digit] | 32);
            uint32_t value = c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10) : (uint32_t)(c - '0') & 15;
            code = code * 16 + value;
        }
        *made = utf8(code, out);
        return at + 5;
    }
    default: out[0] = json[at]; break;
    }
    return at + 1;
}

static size_t blank(const char *json, size_t length, size_t at)
{
    while (at < length && (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r'))
        at++;
    return at;
}

/* Copies a string whose quote stands before `at`. Returns where it ends, 0 if it does not; `full`
 * is the whole length. */
static size_t string(const char *json, size_t length, size_t at, char *out, size_t size, size_t *full)
{
    char piece[3];
    size_t made;
    *full = 0;
    while (at < length && json[at] != '"') {
        if (!(at = character(json, length, at, piece, &made)))
            return 0;
        /* Whole characters only. */
        if (*full + made < size)
            memcpy(out + *full, piece, made), *full += made;
        else
            size = 0;
    }
    if (out)
        out[*full] = 0;
    return at < length ? at + 1 : 0;
}

int cib_json(const char *json, size_t length, const char *key, char *out, size_t size)
{
    char word[32];
    size_t at = 0, full;
    if (size == 0)
        return -1;
    while (at < length) {
        if (json[at] != '"') {
            at++;
            continue;
        }
        if (!(at = string(json, length, at + 1, word, sizeof word, &full)))
            return -1;
        size_t value = blank(json, length, at);
        if (value >= length || json[value] != ':')
            continue;
        at = blank(json, length, value + 1);
        if (at >= length || strcmp(word, key) != 0)
            continue;
        if (json[at] == '"')
            return string(json, length, at + 1, out, size, &full) ? (int)full : -1;
        for (full = 0; at < length && full + 1 < size; at++, full++) {
            char c = json[at];
            if (!((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'))
                break;
            out[full] = c;
        }
        if (full) {
            out[full] = 0;
            return (int)full;
        }
    }
    return -1;
}
