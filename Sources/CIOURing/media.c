// Copying into the memory that stands for a drive's media.
#include "CIOURing.h"

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>

// Stores go past the caches, as a real drive's would: the media isn't read soon, and what it would
// push out of the caches, the slabs, is.
void memkv_copy_to_media(void *media, const void *bytes, size_t count) {
    if (((uintptr_t)media | (uintptr_t)bytes | count) % 64 != 0) {
        memcpy(media, bytes, count);
        return;
    }
    __m128i *to = media;
    const __m128i *from = bytes;
    for (size_t line = 0; line < count / 64; line++, to += 4, from += 4) {
        __m128i a = _mm_load_si128(from), b = _mm_load_si128(from + 1);
        __m128i c = _mm_load_si128(from + 2), d = _mm_load_si128(from + 3);
        _mm_stream_si128(to, a);
        _mm_stream_si128(to + 1, b);
        _mm_stream_si128(to + 2, c);
        _mm_stream_si128(to + 3, d);
    }
    _mm_sfence();
}
#else
void memkv_copy_to_media(void *media, const void *bytes, size_t count) {
    memcpy(media, bytes, count);
}
#endif
