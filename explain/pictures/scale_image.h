// Enlarging and reducing finished pictures for the page; inputs of models go through the kernels.
#pragma once

#include "explain/image.h"

namespace vitsnna::explain {

/// To exactly `size`: area averages where it shrinks, bicubic where it grows.
Image scale_image(const Image& image, Extent size);

/// Every pixel becomes a square of factor x factor.
Image enlarge_image(const Image& image, index_t factor);

}  // namespace vitsnna::explain
