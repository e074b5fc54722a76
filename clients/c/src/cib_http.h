/* The line: HTTP/1.1, one request after the other. */
#ifndef CIB_HTTP_H
#define CIB_HTTP_H

#include "../include/cib.h"

/* What is asked for, and bytes of its body; CIB_OK or CIB_LINE, as all that return an int. */
int cib_http_request(cib_client *client, uint32_t length);
int cib_http_send(cib_client *client, const void *data, size_t length);

/* The answer: its head, then its body, whole, piece by piece, or thrown away. */
int cib_http_head(cib_client *client);
int cib_http_more(cib_client *client);
int cib_http_body(cib_client *client, uint8_t *to, size_t length);
int cib_http_drain(cib_client *client);

/* A text or a number's digits, without an end. Returns how many bytes were written. */
size_t cib_text_to(char *to, const char *text);
size_t cib_digits_to(char *to, uint32_t value);

#endif
