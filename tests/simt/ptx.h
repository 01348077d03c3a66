// kernels/cuda/ptx.h on the host: the same functions, by the fragment layouts that it describes.
#pragma once

#include "kernels/bf16.h"
#include "tests/simt/shared.h"

namespace vitsnna::simt {

// What each lane brings to an operation of its warp (ptx.cpp performs it).
struct LoadMatrix {
  int offset = 0;  ///< of this lane's row
  unsigned* result = nullptr;
};
void perform_load_matrix(Block& block, void* const* operands);
void perform_load_matrix_transposed(Block& block, void* const* operands);

struct Multiply {
  float* d = nullptr;
  const unsigned* a = nullptr;
  unsigned b[2] = {};
};
void perform_multiply(Block& block, void* const* operands);

/// 16 bytes at a 16-byte aligned place, or an error that names `what`.
int aligned_16(const char* what, int offset);
void start_copy_async_16(int offset, const void* source, bool valid);
float exp2_flushed(float x);

}  // namespace vitsnna::simt

namespace vitsnna::kernels::cuda::ptx {

inline void load_matrix_x4(unsigned (&result)[4], Shared<bf16> row,
                           simt::Location where = simt::Location::current()) {
  simt::LoadMatrix mine{simt::aligned_16("load_matrix_x4", row.checked(0, 16)), result};
  simt::this_block().warp_operation(simt::Operation::load_matrix, &mine, simt::perform_load_matrix,
                                    where);
}

inline void load_matrix_x4_transposed(unsigned (&result)[4], Shared<bf16> row,
                                      simt::Location where = simt::Location::current()) {
  simt::LoadMatrix mine{simt::aligned_16("load_matrix_x4_transposed", row.checked(0, 16)), result};
  simt::this_block().warp_operation(simt::Operation::load_matrix_transposed, &mine,
                                    simt::perform_load_matrix_transposed, where);
}

inline void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                         simt::Location where = simt::Location::current()) {
  simt::Multiply mine{d, a, {b0, b1}};
  simt::this_block().warp_operation(simt::Operation::multiply, &mine, simt::perform_multiply,
                                    where);
}

inline void copy_async_16(Shared<unsigned char> destination, const void* source, bool valid) {
  simt::start_copy_async_16(simt::aligned_16("copy_async_16", destination.checked(0, 16)), source,
                            valid);
}
inline void copy_async_commit() { simt::this_block().copy_async_commit(); }
template <int pending>
inline void copy_async_wait() {
  simt::this_block().copy_async_wait(pending);
}

inline void named_barrier(int id, int threads, simt::Location where = simt::Location::current()) {
  simt::this_block().named_barrier(id, threads, where);
}

inline float exp2_approximate(float x) { return simt::exp2_flushed(x); }

inline unsigned pack_bf16(float low, float high) {
  return static_cast<unsigned>(to_bf16(low).bits) | static_cast<unsigned>(to_bf16(high).bits) << 16;
}

}  // namespace vitsnna::kernels::cuda::ptx
