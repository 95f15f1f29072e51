// SHA-256 in pieces, over libcrypto's message digest contexts.
#include "CDigest.h"

#include <openssl/evp.h>

void *memkv_sha256_begin(void) {
  EVP_MD_CTX *state = EVP_MD_CTX_new();
  if (state != NULL && EVP_DigestInit_ex(state, EVP_sha256(), NULL) != 1) {
    EVP_MD_CTX_free(state);
    return NULL;
  }
  return state;
}

int memkv_sha256_add(void *state, const void *bytes, size_t length) {
  return EVP_DigestUpdate(state, bytes, length);
}

int memkv_sha256_end(void *state, uint8_t *digest) {
  return EVP_DigestFinal_ex(state, digest, NULL);
}

void memkv_sha256_free(void *state) { EVP_MD_CTX_free(state); }
