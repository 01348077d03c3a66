// cuDNN, opened at run time: its header-only frontend finds every entry through cudnn_dlhandle.
#pragma once

#include <cudnn_frontend.h>

#include <string>

namespace vitsnna::bench {

/// Opens libcudnn; why it could not be, else empty.
std::string open_cudnn();

/// Throws Error with cuDNN's own words unless all went well.
void check(cudnn_frontend::error_t status, const char* what);
void check(cudnnStatus_t status, const char* what);

}  // namespace vitsnna::bench
