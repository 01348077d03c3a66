// A picture in memory, under the names by which explanations know it.
#pragma once

#include "engine/images/image.h"

namespace vitsnna::explain {

using engine::Extent;
using engine::Image;
using kernels::index_t;

}  // namespace vitsnna::explain
