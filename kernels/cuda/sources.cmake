# What the host SIMT layer compiles too.
set(vitsnna_cuda_portable_sources
  ${CMAKE_CURRENT_LIST_DIR}/gelu.cu
  ${CMAKE_CURRENT_LIST_DIR}/launch.cu)
