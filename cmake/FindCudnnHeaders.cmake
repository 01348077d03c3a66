# Headers of cuDNN 9 and of its header-only frontend 1.x, as target CudnnHeaders; the frontend opens
# the library when a program runs. Looked for beside CUDA's and in external/cudnn, where
# scripts/cudnn_headers.sh puts them.
set(hints ${PROJECT_SOURCE_DIR}/external/cudnn/include ${CUDAToolkit_INCLUDE_DIRS})
find_path(CudnnHeaders_INCLUDE_DIR cudnn_graph.h HINTS ${hints})
find_path(CudnnHeaders_FRONTEND_INCLUDE_DIR cudnn_frontend/graph_interface.h HINTS ${hints})
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CudnnHeaders REQUIRED_VARS CudnnHeaders_INCLUDE_DIR
                                  CudnnHeaders_FRONTEND_INCLUDE_DIR)
if(CudnnHeaders_FOUND AND NOT TARGET CudnnHeaders)
  add_library(CudnnHeaders INTERFACE IMPORTED)
  target_include_directories(CudnnHeaders SYSTEM INTERFACE
    ${CudnnHeaders_FRONTEND_INCLUDE_DIR} ${CudnnHeaders_INCLUDE_DIR} ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_definitions(CudnnHeaders INTERFACE
    NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING CUDNN_FRONTEND_SKIP_JSON_LIB)
  # GCC warns of what it inlines from these headers, system headers or not.
  target_compile_options(CudnnHeaders INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow -Wno-restrict -Wno-maybe-uninitialized>)
endif()
