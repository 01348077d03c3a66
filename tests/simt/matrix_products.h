// How many matrix products were put on queues: on a GPU each is a launch, whatever its size.
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels::cuda {

/// Since the program started.
index_t matrix_products();

}  // namespace vitsnna::kernels::cuda
