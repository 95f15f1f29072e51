// XXH3 with 256-bit vectors; called only where the processor has AVX2.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <stddef.h>
#include <limits.h>
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define XXH_VECTOR 2 /* XXH_AVX2 */
#define KERNEL(name) name##_avx2
#include "xxh3_kernel.h"
#pragma clang attribute pop
#endif
