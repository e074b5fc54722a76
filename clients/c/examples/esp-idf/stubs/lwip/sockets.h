#ifndef STUB_SOCKETS_H
#define STUB_SOCKETS_H
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
typedef uint32_t socklen_t;
struct sockaddr { uint8_t sa_family; };
#define SOCK_STREAM 1
#define SOL_SOCKET 0xfff
#define SO_RCVTIMEO 0x1006
int socket(int family, int type, int protocol);
int connect(int line, const struct sockaddr *to, socklen_t length);
int setsockopt(int line, int level, int name, const void *value, socklen_t length);
int send(int line, const void *data, size_t length, int flags);
int recv(int line, void *data, size_t length, int flags);
#endif
