// The CPU's table of ops and its memory.
#include "kernels/backend.h"

#include <cstring>
#include <new>

#include "kernels/cpu/ops.h"

namespace vitsnna::kernels {
namespace {

constexpr std::align_val_t alignment{64};

void* allocate(index_t bytes) {
  void* memory = bytes < 0 ? nullptr
                           : ::operator new(static_cast<std::size_t>(bytes > 0 ? bytes : 1),
                                            alignment, std::nothrow);
  if (!memory) {
    throw Error("cpu memory: " + std::to_string(bytes) + " bytes wanted, none found");
  }
  return memory;
}

void deallocate(void* memory, index_t) noexcept { ::operator delete(memory, alignment); }

void copy(Queue&, void* destination, const void* source, index_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, static_cast<std::size_t>(bytes));
}

void fill_zero(Queue&, void* memory, index_t bytes) {
  if (bytes > 0) std::memset(memory, 0, static_cast<std::size_t>(bytes));
}

void synchronize(Queue&) {}

}  // namespace

const Backend& cpu_backend() {
  static const Backend backend = [] {
    Backend b;
    b.name = "cpu";
    b.allocate = allocate;
    b.deallocate = deallocate;
    b.copy_to_device = copy;
    b.copy_to_host = copy;
    b.fill_zero = fill_zero;
    b.synchronize = synchronize;

    b.layer_norm = {cpu::layer_norm};
    b.layer_norm_backward = {cpu::layer_norm_backward, cpu::layer_norm_backward_scratch};
    b.gelu = {cpu::gelu};
    b.patchify = {cpu::patchify};
    b.unpatchify_gradient = {cpu::unpatchify_gradient};
    b.fill_gaussian = {cpu::fill_gaussian};
    b.resample_position_embedding = {cpu::resample_position_embedding};
    b.resample_position_embedding_backward = {cpu::resample_position_embedding_backward};
    b.assemble_tokens = {cpu::assemble_tokens};
    b.assemble_tokens_backward = {cpu::assemble_tokens_backward};
    b.copy_rows = {cpu::copy_rows};
    b.resample_normalize = {cpu::resample_normalize, cpu::resample_normalize_scratch};
    b.render_overlay = {cpu::render_overlay};
    return b;
  }();
  return backend;
}

}  // namespace vitsnna::kernels
