// Chooses the XXH3 kernel once, by cpuid, and forwards to it; SHA-256 from libcrypto, by the calls
// that don't allocate.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "CDigest.h"

#include <openssl/sha.h>

#define DECLARE(suffix)                                                   \
  uint64_t memkv_xxh3_##suffix(const void *, size_t);                     \
  void memkv_xxh3_begin_##suffix(void *);                                 \
  void memkv_xxh3_add_##suffix(void *, const void *, size_t);             \
  uint64_t memkv_xxh3_end_##suffix(const void *);
DECLARE(sse2)
DECLARE(avx2)

#if defined(__x86_64__)
static int wide(void) {
  static int known = 0;  // 0 unknown, 1 no, 2 yes; racing threads write the same value
  int value = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (value == 0) {
    __builtin_cpu_init();
    value = __builtin_cpu_supports("avx2") ? 2 : 1;
    __atomic_store_n(&known, value, __ATOMIC_RELAXED);
  }
  return value == 2;
}
#define FORWARD(name, ...) (wide() ? name##_avx2(__VA_ARGS__) : name##_sse2(__VA_ARGS__))
#else
static int wide(void) { return 0; }
#define FORWARD(name, ...) name##_sse2(__VA_ARGS__)
#endif

uint64_t memkv_xxh3(const void *bytes, size_t length) { return FORWARD(memkv_xxh3, bytes, length); }
void memkv_xxh3_begin(void *state) { FORWARD(memkv_xxh3_begin, state); }
void memkv_xxh3_add(void *state, const void *bytes, size_t length) {
  FORWARD(memkv_xxh3_add, state, bytes, length);
}
uint64_t memkv_xxh3_end(const void *state) { return FORWARD(memkv_xxh3_end, state); }

const char *memkv_xxh3_kernel(void) { return wide() ? "avx2" : "sse2"; }

int memkv_sha256(const void *bytes, size_t length, uint8_t *digest) {
  SHA256_CTX state;
  return SHA256_Init(&state) && SHA256_Update(&state, bytes, length) && SHA256_Final(digest, &state);
}
