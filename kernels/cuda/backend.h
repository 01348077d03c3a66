// The table of the CUDA backend.
#pragma once

#include "kernels/backend.h"

namespace vitsnna::kernels::cuda {

/// An op that is null in it is not offered on CUDA.
const Backend& backend();

}  // namespace vitsnna::kernels::cuda
