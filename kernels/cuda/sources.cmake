# What the host SIMT layer compiles too: files that name nothing of the CUDA runtime.
set(vitsnna_cuda_portable_sources
  ${CMAKE_CURRENT_LIST_DIR}/attention_few_queries.cu
  ${CMAKE_CURRENT_LIST_DIR}/attention_forward.cu
  ${CMAKE_CURRENT_LIST_DIR}/attention_forward_bf16.cu
  ${CMAKE_CURRENT_LIST_DIR}/attention_forward_f32.cu
  ${CMAKE_CURRENT_LIST_DIR}/attention_rows.cu
  ${CMAKE_CURRENT_LIST_DIR}/attention_single_query_backward.cu
  ${CMAKE_CURRENT_LIST_DIR}/bias_gradient.cu
  ${CMAKE_CURRENT_LIST_DIR}/cast.cu
  ${CMAKE_CURRENT_LIST_DIR}/gelu.cu
  ${CMAKE_CURRENT_LIST_DIR}/launch.cu
  ${CMAKE_CURRENT_LIST_DIR}/linear.cpp
  ${CMAKE_CURRENT_LIST_DIR}/linear_epilogue.cu
  ${CMAKE_CURRENT_LIST_DIR}/relevance_cls_row.cu
  ${CMAKE_CURRENT_LIST_DIR}/value_norm.cu
)
