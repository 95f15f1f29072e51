// One GET over HTTP or HTTPS with libcurl, whose options are variadic and don't import into Swift.
#ifndef MEMKV_CHTTP_H
#define MEMKV_CHTTP_H

#include <stddef.h>
#include <stdint.h>

struct memkv_http_request {
    const char *url;
    // A whole header line, or NULL.
    const char *authorization;
    // A PEM file with the authorities to believe; NULL for the system's.
    const char *authorities;
    long timeout_milliseconds;
    // An answer with a longer body is refused.
    size_t limit_bytes;
};

struct memkv_http_answer {
    long status_code;
    // The caller frees it; NULL when the body is empty.
    uint8_t *body;
    size_t body_bytes;
    // When there was no answer, what libcurl says of it.
    char problem[256];
};

// Why there was no answer.
enum memkv_http_result {
    memkv_http_done,
    memkv_http_host_unknown,
    memkv_http_refused,
    memkv_http_not_connected,
    memkv_http_timed_out,
    memkv_http_not_http,
    memkv_http_too_long,
    // The server's certificate isn't believed.
    memkv_http_not_trusted,
    // The file with the authorities can't be used.
    memkv_http_no_authorities,
    memkv_http_broken,
};

// Asks, follows nothing, goes by no proxy. Any thread may call it.
enum memkv_http_result memkv_http_get(
    const struct memkv_http_request *request, struct memkv_http_answer *answer);

#endif
