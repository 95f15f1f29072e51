// XXH3 for every x86-64 processor, and for any other architecture with libxxhash's own choice.
#define KERNEL(name) name##_sse2
#include "xxh3_kernel.h"
