/* A device that does once what devices do, and says so on a line each. */
#ifndef DEVICE_H
#define DEVICE_H
#include "../include/cib.h"
/* What it is given, as text: key id, secret and session. */
typedef struct device_config {
    char key_id[17], secret[65], session[37];
} device_config;
int device_run(const cib_io *io, const char *host, const device_config *config);
#endif
