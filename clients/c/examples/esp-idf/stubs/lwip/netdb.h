#include "sockets.h"
struct addrinfo {
    int ai_flags, ai_family, ai_socktype, ai_protocol;
    socklen_t ai_addrlen;
    struct sockaddr *ai_addr;
    char *ai_canonname;
    struct addrinfo *ai_next;
};
int getaddrinfo(const char *name, const char *service, const struct addrinfo *wanted, struct addrinfo **found);
void freeaddrinfo(struct addrinfo *found);
