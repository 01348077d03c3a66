// Stacks and switches of fibers.
#include "tests/simt/fiber.h"

#include <sys/mman.h>

#include <string>

#include "kernels/error.h"

#if defined(__SANITIZE_ADDRESS__)
#define VITSNNA_SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VITSNNA_SIMT_ASAN 1
#endif
#endif

#if defined(VITSNNA_SIMT_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

namespace vitsnna::simt {
namespace {

constexpr std::size_t guard_bytes = 4096;
// Pages that a kernel does not touch cost nothing; a debug or sanitizer build's frames are large.
constexpr std::size_t stack_bytes = 256 * 1024;

void start_switch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* bottom,
                  [[maybe_unused]] std::size_t size) {
#if defined(VITSNNA_SIMT_ASAN)
  __sanitizer_start_switch_fiber(fake_stack, bottom, size);
#endif
}
void finish_switch([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** bottom,
                   [[maybe_unused]] std::size_t* size) {
#if defined(VITSNNA_SIMT_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, bottom, size);
#endif
}

}  // namespace

Fiber::Fiber(void (*entry)(void*), void* argument) : entry_(entry), argument_(argument) {
  mapping_ = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED || mprotect(mapping_, guard_bytes, PROT_NONE) != 0) {
    throw Error("fiber: stack of " + std::to_string(stack_bytes) + " bytes wanted, not available");
  }
  context_ = boost::context::detail::make_fcontext(
      static_cast<char*>(mapping_) + guard_bytes + stack_bytes, stack_bytes, trampoline);
}

Fiber::~Fiber() { munmap(mapping_, guard_bytes + stack_bytes); }

void Fiber::trampoline(boost::context::detail::transfer_t transfer) {
  Fiber& self = *static_cast<Fiber*>(transfer.data);
  finish_switch(nullptr, &self.caller_bottom_, &self.caller_size_);
  self.caller_ = transfer.fctx;
  self.entry_(self.argument_);
}

void Fiber::resume() {
  void* fake_stack = nullptr;
  start_switch(&fake_stack, static_cast<char*>(mapping_) + guard_bytes, stack_bytes);
  context_ = boost::context::detail::jump_fcontext(context_, this).fctx;
  finish_switch(fake_stack, nullptr, nullptr);
}

void Fiber::suspend() {
  start_switch(&fake_stack_, caller_bottom_, caller_size_);
  caller_ = boost::context::detail::jump_fcontext(caller_, nullptr).fctx;
  finish_switch(fake_stack_, &caller_bottom_, &caller_size_);
}

}  // namespace vitsnna::simt
