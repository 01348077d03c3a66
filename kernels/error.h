// The exception type of the project: every message names the thing, what was found, and what
// was wanted, in one line that the command line prints as it is.
#pragma once

#include <stdexcept>
#include <string>

namespace vitsnna {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Memory that the device has not got: what was asked for was too much, and less may do.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace vitsnna
