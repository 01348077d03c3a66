// One entry of a backend's table: how an op runs and how much scratch it wants. Every launch in
// the project passes through Op::operator(), the single place where ops are counted and timed.
#pragma once

#include <string>

#include "kernels/error.h"
#include "kernels/queue.h"

namespace vitsnna::kernels {

/// `Args` is the argument struct of the op's header. Beside it the header defines, as free
/// functions found by argument-dependent lookup,
///   const char* op_name(const Args&);  double flops(const Args&);  double bytes(const Args&);
template <class Args>
struct Op {
  void (*run)(Queue&, const Args&) = nullptr;
  /// Scratch wanted for these arguments on this queue; null means none. Reads no operand.
  index_t (*scratch_bytes)(const Queue&, const Args&) = nullptr;

  index_t scratch_for(const Queue& queue, const Args& args) const {
    return scratch_bytes ? scratch_bytes(queue, args) : 0;
  }

  void operator()(Queue& queue, const Args& args) const {
    if (!run) throw Error(std::string("op ") + op_name(args) + ": not offered by this backend");
    const index_t wanted = scratch_for(queue, args);
    if (queue.ledger) {
      queue.ledger->begin(op_name(args), flops(args), bytes(args), wanted);
      if (queue.ledger->planning()) return;
    }
    if (wanted > queue.scratch_bytes) {
      throw Error(std::string("op ") + op_name(args) + ": scratch of " +
                  std::to_string(queue.scratch_bytes) + " bytes, " + std::to_string(wanted) +
                  " wanted");
    }
    run(queue, args);
    if (queue.ledger) queue.ledger->end();
  }
};

}  // namespace vitsnna::kernels
