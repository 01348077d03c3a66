# Third-party packages. Required: oneDNN (v2 or v3), OpenMP, fmt, nlohmann-json, libzip, OpenSSL's
# libcrypto. The rest is optional and sets VITSNNA_HAVE_*.
find_package(OneDNN REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED CONFIG)
find_package(nlohmann_json REQUIRED CONFIG)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBZIP REQUIRED IMPORTED_TARGET libzip)

set(VITSNNA_HAVE_CLI OFF)
if(NOT VITSNNA_CLI STREQUAL "OFF")
  find_package(OpenCVPictures QUIET)
  find_package(CLI11 QUIET CONFIG)
  find_package(spdlog QUIET CONFIG)
  find_package(JPEG QUIET)
  find_package(PNG QUIET)
  if(OpenCVPictures_FOUND AND CLI11_FOUND AND spdlog_FOUND AND JPEG_FOUND AND PNG_FOUND)
    set(VITSNNA_HAVE_CLI ON)
  elseif(VITSNNA_CLI STREQUAL "ON")
    message(FATAL_ERROR "VITSNNA_CLI=ON wants OpenCV (found: '${OpenCVPictures_FOUND}'), CLI11 "
                        "('${CLI11_FOUND}'), spdlog ('${spdlog_FOUND}'), libjpeg ('${JPEG_FOUND}') "
                        "and libpng ('${PNG_FOUND}')")
  else()
    message(STATUS "OpenCV, libjpeg, libpng, CLI11 or spdlog is missing: the library is built, the "
                   "vitsnna binary is not")
  endif()
endif()

set(VITSNNA_HAVE_CUDA OFF)
if(NOT VITSNNA_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND)
    set(VITSNNA_HAVE_CUDA ON)
  elseif(VITSNNA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "VITSNNA_CUDA=ON wants a CUDA toolkit: none was found (set CUDAToolkit_ROOT)")
  endif()
endif()

# NCCL's header alone: the library is opened at run time.
set(VITSNNA_HAVE_NCCL OFF)
if(VITSNNA_HAVE_CUDA)
  find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  if(NCCL_INCLUDE_DIR)
    set(VITSNNA_HAVE_NCCL ON)
  endif()
endif()

set(VITSNNA_HAVE_MPI OFF)
if(NOT VITSNNA_MPI STREQUAL "OFF")
  # The C interface: MPI's own C++ bindings are no more.
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI QUIET COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    set(VITSNNA_HAVE_MPI ON)
  elseif(VITSNNA_MPI STREQUAL "ON")
    message(FATAL_ERROR "VITSNNA_MPI=ON wants MPI with its compiler wrapper (libopenmpi-dev): none "
                        "was found")
  else()
    message(STATUS "no MPI: training runs in one process")
  endif()
endif()

if(VITSNNA_TESTS OR VITSNNA_FUZZ)
  find_package(GTest REQUIRED)
endif()
if(VITSNNA_BENCH)
  find_package(benchmark REQUIRED CONFIG)
endif()
