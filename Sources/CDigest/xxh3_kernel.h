// One XXH3 kernel: included by a .c file that has set the vector width with a target attribute.
// KERNEL(name) pastes the suffix. libxxhash's header compiled whole into each file
// (XXH_INLINE_ALL), so that each copy is built for its own instruction set.
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "CDigest.h"

_Static_assert(sizeof(XXH3_state_t) <= MEMKV_XXH3_STATE_BYTES, "XXH3 state outgrew MEMKV_XXH3_STATE_BYTES");

uint64_t KERNEL(memkv_xxh3)(const void *bytes, size_t length) { return XXH3_64bits(bytes, length); }
void KERNEL(memkv_xxh3_begin)(void *state) { XXH3_64bits_reset((XXH3_state_t *)state); }
void KERNEL(memkv_xxh3_add)(void *state, const void *bytes, size_t length) {
  XXH3_64bits_update((XXH3_state_t *)state, bytes, length);
}
uint64_t KERNEL(memkv_xxh3_end)(const void *state) { return XXH3_64bits_digest((const XXH3_state_t *)state); }
