#include "CIOURing.h"
