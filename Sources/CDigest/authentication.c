// HMAC-SHA256 (RFC 2104) over libcrypto's SHA-256, with the key's two first blocks done once.
//
// SHA256_CTX is a plain structure that can be copied. libcrypto's own HMAC contexts (3.0) allocate
// twice whenever they are begun anew, which a frame must not.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "CDigest.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

_Static_assert(sizeof(SHA256_CTX) <= MEMKV_SHA256_STATE_BYTES, "SHA-256's state outgrew its room");
_Static_assert(MEMKV_SHA256_STATE_BYTES % 8 == 0, "SHA-256's states are kept as whole words");

static void begin_padded(SHA256_CTX *state, const uint8_t *key, size_t length, uint8_t pad) {
  uint8_t block[SHA256_CBLOCK];
  memset(block, pad, sizeof block);
  for (size_t index = 0; index < length; index++) block[index] ^= key[index];
  SHA256_Init(state);
  SHA256_Update(state, block, sizeof block);
  OPENSSL_cleanse(block, sizeof block);
}

void memkv_mac_prepare(void *inner, void *outer, const uint8_t *key) {
  begin_padded(inner, key, MEMKV_SHA256_BYTES, 0x36);
  begin_padded(outer, key, MEMKV_SHA256_BYTES, 0x5C);
}

void memkv_mac_add(void *state, const void *bytes, size_t length) {
  SHA256_Update(state, bytes, length);
}

void memkv_mac_end(void *state, const void *outer, uint8_t *digest) {
  SHA256_CTX last;
  memcpy(&last, outer, sizeof last);
  uint8_t middle[MEMKV_SHA256_BYTES];
  SHA256_Final(middle, state);
  SHA256_Update(&last, middle, sizeof middle);
  SHA256_Final(digest, &last);
}

int memkv_equal(const void *left, const void *right, size_t length) {
  return CRYPTO_memcmp(left, right, length) == 0;
}

void memkv_forget(void *bytes, size_t length) { OPENSSL_cleanse(bytes, length); }
