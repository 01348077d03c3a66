// Warp-level matrix operations: fragments gathered from 32 lanes, computed, and dealt out again.
#include "tests/simt/ptx.h"

#include <cfloat>

namespace vitsnna::simt {
namespace {

using kernels::bf16;
using kernels::to_float;

unsigned pair(bf16 low, bf16 high) {
  return static_cast<unsigned>(low.bits) | static_cast<unsigned>(high.bits) << 16;
}
float low(unsigned packed) { return to_float({static_cast<std::uint16_t>(packed)}); }
float high(unsigned packed) { return to_float({static_cast<std::uint16_t>(packed >> 16)}); }

void load(Block& block, void* const* operands, bool transposed) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    bf16 rows[8][8];
    for (int row = 0; row < 8; ++row) {
      const int lane = 8 * matrix + row;
      block.read_shared_as<16>(lane, static_cast<const LoadMatrix*>(operands[lane])->offset,
                               rows[row]);
    }
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      static_cast<const LoadMatrix*>(operands[lane])->result[matrix] =
          transposed ? pair(rows[2 * t][g], rows[2 * t + 1][g])
                     : pair(rows[g][2 * t], rows[g][2 * t + 1]);
    }
  }
}

}  // namespace

void perform_load_matrix(Block& block, void* const* operands) { load(block, operands, false); }
void perform_load_matrix_transposed(Block& block, void* const* operands) {
  load(block, operands, true);
}

// A product of two bf16 is exact in fp32, so that the sum below is that of fused multiply-adds.
void perform_multiply(Block&, void* const* operands) {
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const Multiply& of = *static_cast<const Multiply*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int k = 0; k < 4; ++k) {
      const int row = g + (k % 2 ? 8 : 0), column = 2 * t + (k / 2 ? 8 : 0);
      a[row][column] = low(of.a[k]);
      a[row][column + 1] = high(of.a[k]);
    }
    for (int k = 0; k < 2; ++k) {
      b[2 * t + 8 * k][g] = low(of.b[k]);
      b[2 * t + 8 * k + 1][g] = high(of.b[k]);
    }
    for (int k = 0; k < 4; ++k) d[g + (k / 2 ? 8 : 0)][2 * t + k % 2] = of.d[k];
  }
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const Multiply& of = *static_cast<const Multiply*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int k = 0; k < 4; ++k) of.d[k] = d[g + (k / 2 ? 8 : 0)][2 * t + k % 2];
  }
}

int aligned_16(const char* what, int offset) {
  if (offset % 16 != 0) {
    throw Error(std::string(what) + ": byte " + std::to_string(offset) +
                " of shared memory, a multiple of 16 wanted");
  }
  return offset;
}

void start_copy_async_16(int offset, const void* source, bool valid) {
  if (valid && reinterpret_cast<std::uintptr_t>(source) % 16 != 0) {
    throw Error("copy_async_16: source not 16-byte aligned");
  }
  this_block().copy_async(offset, valid ? source : nullptr);
}

float exp2_flushed(float x) {
  const float y = exp2f(x);
  return y < FLT_MIN ? 0.f : y;
}

}  // namespace vitsnna::simt
