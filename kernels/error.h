// The one exception type of the project: every message names the thing, what was found, and what
// was wanted, in one line that the command line prints as it is.
#pragma once

#include <stdexcept>
#include <string>

namespace vitsnna {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace vitsnna
