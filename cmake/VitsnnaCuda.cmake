# The CUDA language. Architectures are named, never probed: a GPU need not be there.
if(NOT CMAKE_CUDA_ARCHITECTURES)
  # Code for sm_80 (and PTX from it for later families) and for Hopper's own instructions.
  set(CMAKE_CUDA_ARCHITECTURES 80 90a-real CACHE STRING "Architectures of the device code")
endif()
if(NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
endif()
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know yet that nvcc takes it
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
if(NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  # What tests/engine's kernel_resources_test reads; before ccache, where there is one.
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/ptxas_report.sh)
  if(VITSNNA_CCACHE)
    list(APPEND CMAKE_CUDA_COMPILER_LAUNCHER ${VITSNNA_CCACHE})
  endif()
endif()
