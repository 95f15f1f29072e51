// CDigest: checksums (XXH3-64), digests (SHA-256) and authentication codes (HMAC-SHA256) for Wire,
// and nothing else.
//
// Always holds: no allocation unless it is said below, no global state beyond one CPU-feature probe,
// results equal on every kernel. The XXH3 streaming state is the caller's memory
// (MEMKV_XXH3_STATE_BYTES, 64-byte aligned), and so are the states of an HMAC.
#pragma once

#include <features.h>
#include <stddef.h>
#include <stdint.h>

// Room for one XXH3 streaming state; asserted against the library's own size when CDigest is
// compiled.
#define MEMKV_XXH3_STATE_BYTES 640

// XXH3-64 (seed 0) of `length` bytes. Specification:
// https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
uint64_t memkv_xxh3(const void *_Nonnull bytes, size_t length);

// The same over pieces: begin, add each piece in order, end. `state` is 64-byte aligned caller
// memory.
void memkv_xxh3_begin(void *_Nonnull state);
void memkv_xxh3_add(void *_Nonnull state, const void *_Nonnull bytes, size_t length);
uint64_t memkv_xxh3_end(const void *_Nonnull state);

// The name of the kernel chosen for this processor: "sse2" or "avx2".
const char *_Nonnull memkv_xxh3_kernel(void);

// SHA-256 of `length` bytes into 32 bytes at `digest`. Returns 0 when libcrypto refuses.
int memkv_sha256(const void *_Nonnull bytes, size_t length, uint8_t *_Nonnull digest);

// SHA-256 of bytes that arrive in pieces. `begin` allocates and returns NULL when libcrypto
// refuses; `end` writes 32 bytes, `free` releases the state. Each returns 0 when libcrypto refuses.
void *_Nullable memkv_sha256_begin(void);
int memkv_sha256_add(void *_Nonnull state, const void *_Nonnull bytes, size_t length);
int memkv_sha256_end(void *_Nonnull state, uint8_t *_Nonnull digest);
void memkv_sha256_free(void *_Nonnull state);

// Bytes of a SHA-256, of an HMAC-SHA256 and of the only length of key that is used here.
#define MEMKV_SHA256_BYTES 32
// Room for one of libcrypto's SHA-256 states; asserted against its own size when CDigest is
// compiled.
#define MEMKV_SHA256_STATE_BYTES 112

// HMAC-SHA256 (RFC 2104). `prepare` makes of a key of MEMKV_SHA256_BYTES two states of
// MEMKV_SHA256_STATE_BYTES, which are copied for each message: the copy of `inner` takes the
// message by `add`, then `end` writes MEMKV_SHA256_BYTES at `digest`. Nothing here allocates.
void memkv_mac_prepare(
    void *_Nonnull inner, void *_Nonnull outer, const uint8_t *_Nonnull key);
void memkv_mac_add(void *_Nonnull state, const void *_Nonnull bytes, size_t length);
void memkv_mac_end(
    void *_Nonnull state, const void *_Nonnull outer, uint8_t *_Nonnull digest);

// 1 when the bytes are equal, in a time that depends on `length` alone.
int memkv_equal(const void *_Nonnull left, const void *_Nonnull right, size_t length);

// Overwrites secrets in a way that no optimiser removes.
void memkv_forget(void *_Nonnull bytes, size_t length);
