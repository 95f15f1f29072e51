// One GET with libcurl, a handle of its own each time.
#define _GNU_SOURCE
#include "CHTTP.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct body {
    uint8_t *bytes;
    size_t count;
    size_t limit;
    int is_too_long;
};

static size_t take(char *data, size_t size, size_t count, void *context) {
    struct body *body = context;
    size_t more = size * count;
    if (more > body->limit - body->count) {
        body->is_too_long = 1;
        return 0;
    }
    uint8_t *longer = realloc(body->bytes, body->count + more + 1);
    if (!longer) return 0;
    memcpy(longer + body->count, data, more);
    body->bytes = longer;
    body->count += more;
    return more;
}

static enum memkv_http_result meaning(CURLcode code) {
    switch (code) {
    case CURLE_OK: return memkv_http_done;
    case CURLE_COULDNT_RESOLVE_HOST: return memkv_http_host_unknown;
    case CURLE_COULDNT_CONNECT: return memkv_http_not_connected;
    case CURLE_OPERATION_TIMEDOUT: return memkv_http_timed_out;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: return memkv_http_not_http;
    case CURLE_PEER_FAILED_VERIFICATION: return memkv_http_not_trusted;
    case CURLE_SSL_CACERT_BADFILE: return memkv_http_no_authorities;
    default: return memkv_http_broken;
    }
}

static pthread_once_t is_ready = PTHREAD_ONCE_INIT;
static void make_ready(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

enum memkv_http_result memkv_http_get(
    const struct memkv_http_request *request, struct memkv_http_answer *answer) {
    memset(answer, 0, sizeof *answer);
    pthread_once(&is_ready, make_ready);
    CURL *curl = curl_easy_init();
    if (!curl) return memkv_http_broken;
    struct body body = {.limit = request->limit_bytes};
    struct curl_slist *headers = NULL;
    if (request->authorization) headers = curl_slist_append(headers, request->authorization);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, request->timeout_milliseconds);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, answer->problem);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    if (request->authorities) curl_easy_setopt(curl, CURLOPT_CAINFO, request->authorities);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK && answer->problem[0] == 0) {
        strncpy(answer->problem, curl_easy_strerror(code), sizeof answer->problem - 1);
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status_code);
    long system_error = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &system_error);
    int was_refused = code == CURLE_COULDNT_CONNECT && system_error == ECONNREFUSED;
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (code == CURLE_OK) {
        answer->body = body.bytes;
        answer->body_bytes = body.count;
        return memkv_http_done;
    }
    free(body.bytes);
    if (body.is_too_long) return memkv_http_too_long;
    return was_refused ? memkv_http_refused : meaning(code);
}
