// Wrong usage as its own kind of error: the command line ends with exit code 2 for it, 1 for
// others.
#pragma once

#include "kernels/error.h"

namespace vitsnna::cli {

class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace vitsnna::cli
