/* The vectors of docs/AES-TRANSPORT.md: made from the page by scripts/clients. */
#ifndef VECTORS_H
#define VECTORS_H
#include <stddef.h>
#include <stdint.h>
typedef struct vector { const char *name; const uint8_t *bytes; size_t length; } vector;
extern const vector vectors[];
extern const size_t vector_count;
const vector *vector_of(const char *name);
#endif
