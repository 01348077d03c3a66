// The CPU's table of ops.
#include "kernels/backend.h"
