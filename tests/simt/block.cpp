// Scheduling of a block's fibers and what they wait for.
#include "tests/simt/block.h"

#include <algorithm>
#include <cstring>

#include "kernels/error.h"
#include "tests/simt/device.h"

namespace vitsnna::simt {

constinit thread_local Block* running_block = nullptr;

namespace {

constexpr std::uint32_t all_lanes = 0xffffffffu;

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::none:
      return "nothing";
    case Operation::block_barrier:
      return "__syncthreads";
    case Operation::named_barrier:
      return "named_barrier";
    case Operation::warp_sync:
      return "__syncwarp";
    case Operation::shuffle:
      return "__shfl_sync";
    case Operation::shuffle_xor:
      return "__shfl_xor_sync";
    case Operation::shuffle_down:
      return "__shfl_down_sync";
    case Operation::load_matrix:
      return "load_matrix_x4";
    case Operation::load_matrix_transposed:
      return "load_matrix_x4_transposed";
    case Operation::multiply:
      return "mma_m16n8k16";
  }
  return "unknown";
}

/// PTX's .aligned: all lanes execute the very same instruction, not just one like it.
bool aligned(Operation operation) {
  return operation == Operation::load_matrix || operation == Operation::load_matrix_transposed ||
         operation == Operation::multiply;
}

bool same(const Location& a, const Location& b) {
  return a.line == b.line && std::strcmp(a.file, b.file) == 0;
}

std::string text(const Location& where) {
  const char* slash = std::strrchr(where.file, '/');
  return std::string(slash ? slash + 1 : where.file) + ":" + std::to_string(where.line);
}

/// Index of the set bit of `bits` that comes first from bit `from` on, cyclically.
int bit_from(std::uint32_t bits, int from) {
  return (std::countr_zero(std::rotr(bits, from)) + from) % 32;
}

}  // namespace

Block::~Block() = default;

void Block::fiber_entry(void* argument) {
  const FiberArgument& self = *static_cast<FiberArgument*>(argument);
  for (;;) {
    self.block->thread_main(self.thread);
    self.block->fibers_[static_cast<std::size_t>(self.thread)]->suspend();
  }
}

void Block::thread_main(int thread) {
  try {
    launch_.body(launch_.arguments);
  } catch (const Unwind&) {
  } catch (const std::exception& error) {
    if (!error_) {
      const Thread& me = threads_[static_cast<std::size_t>(thread)];
      std::string since;
      if (me.operation != Operation::none) {
        since = std::string(" (after ") + name_of(me.operation) + " at " + text(me.where) + ")";
      }
      error_ = std::make_exception_ptr(
          Error(title() + ", thread " + std::to_string(thread) + since + ": " + error.what()));
    }
  }
  threads_[static_cast<std::size_t>(thread)].state = State::ended;
  ++ended_;
}

void Block::grow(int threads) {
  while (static_cast<int>(fibers_.size()) < threads) {
    fiber_arguments_.push_back({this, static_cast<int>(fibers_.size())});
    fibers_.push_back(std::make_unique<Fiber>(fiber_entry, &fiber_arguments_.back()));
  }
}

void Block::begin(const Launch& launch, Extent index, LaunchOrder order) {
  launch_ = launch;
  index_ = index;
  order_ = order;
  const unsigned linear = index.x + 7919u * index.y + 104729u * index.z;
  generator_ = (order.seed * 2654435761u + linear * 40503u) | 1u;
  last_warp_ = 0;
  ended_ = 0;
  unwinding_ = false;
  error_ = nullptr;
  at_barrier_ = 0;
  barrier_value_ = 0;
  grow(launch.threads);
  threads_.resize(static_cast<std::size_t>(launch.threads));
  for (Thread& thread : threads_) {
    thread.state = State::fresh;
    thread.operation = Operation::none;
  }
  const std::uint32_t start = shadow_.begin_block(launch.shared_bytes);
  shadow_.note_clock(start + 1);
  warps_.assign(static_cast<std::size_t>(launch.threads / 32), Warp{});
  ready_warps_ = 0;
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    warps_[w].ready = all_lanes;
    warps_[w].clock.now = start + 1;
    std::fill_n(warps_[w].clock.known, kMaxWarps, start);
    ready_warps_ |= 1u << w;
  }
  std::fill(std::begin(named_), std::end(named_), NamedBarrier{});
}

/// The next thread to run by the schedule; -1 where none can.
int Block::pick() {
  if (!ready_warps_) return -1;
  int warp = 0, lane = 0;
  const auto ready = [&] { return warps_[static_cast<std::size_t>(warp)].ready; };
  switch (order_.schedule) {
    case Schedule::first_warp_first:
      warp = std::countr_zero(ready_warps_);
      lane = std::countr_zero(ready());
      break;
    case Schedule::last_warp_first:
      warp = 31 - std::countl_zero(ready_warps_);
      lane = 31 - std::countl_zero(ready());
      break;
    case Schedule::random:
      generator_ ^= generator_ << 13;
      generator_ ^= generator_ >> 17;
      generator_ ^= generator_ << 5;
      warp = bit_from(ready_warps_, static_cast<int>(generator_ >> 8 & 31u));
      lane = bit_from(ready(), static_cast<int>(generator_ >> 16 & 31u));
      break;
    case Schedule::round_robin:
      warp = bit_from(ready_warps_, (last_warp_ + 1) % 32);
      lane = std::countr_zero(ready());
      last_warp_ = warp;
      break;
  }
  Warp& chosen = warps_[static_cast<std::size_t>(warp)];
  chosen.ready &= ~(1u << lane);
  if (!chosen.ready) ready_warps_ &= ~(1u << warp);
  return 32 * warp + lane;
}

void Block::run(const Launch& launch, Extent index, LaunchOrder order) {
  begin(launch, index, order);
  running_block = this;
  blockDim = dim3(static_cast<unsigned>(launch.threads));
  gridDim = dim3(launch.blocks.x, launch.blocks.y, launch.blocks.z);
  blockIdx = {index.x, index.y, index.z};
  threadIdx = {0, 0, 0};
  while (ended_ < launch.threads && !error_) {
    running_ = pick();
    if (running_ < 0) {
      error_ = std::make_exception_ptr(Error(deadlock()));
      break;
    }
    threadIdx.x = static_cast<unsigned>(running_);
    self().state = State::ready;
    fibers_[static_cast<std::size_t>(running_)]->resume();
  }
  if (error_) unwind();
  for (Thread& thread : threads_) {
    for (const Copy& copy : thread.open_copies) shadow_.drop_copy(copy.offset, 16);
    for (const std::vector<Copy>& group : thread.copy_groups) {
      for (const Copy& copy : group) shadow_.drop_copy(copy.offset, 16);
    }
    thread.open_copies.clear();
    thread.copy_groups.clear();
  }
  running_block = nullptr;
  if (error_) std::rethrow_exception(error_);
}

/// Ends every thread that has begun, destroying what its stack holds.
void Block::unwind() {
  unwinding_ = true;
  for (running_ = 0; running_ < launch_.threads; ++running_) {
    if (self().state == State::ready || self().state == State::waiting) {
      fibers_[static_cast<std::size_t>(running_)]->resume();
    }
  }
}

/// Lets others run until this thread is ready again.
void Block::suspend() {
  self().state = State::waiting;
  fibers_[static_cast<std::size_t>(running_)]->suspend();
  if (unwinding_) throw Unwind{};
}

void Block::make_ready(int thread) {
  threads_[static_cast<std::size_t>(thread)].state = State::ready;
  warps_[static_cast<std::size_t>(thread / 32)].ready |= 1u << (thread % 32);
  ready_warps_ |= 1u << (thread / 32);
}

/// Warps of the mask have met: each knows all that any of them knew or did, and goes on.
void Block::advance(std::uint32_t warps) {
  std::uint32_t joined[kMaxWarps] = {};
  for (std::uint32_t rest = warps; rest; rest &= rest - 1) {
    const WarpClock& clock = warps_[static_cast<std::size_t>(std::countr_zero(rest))].clock;
    for (int k = 0; k < kMaxWarps; ++k) joined[k] = std::max(joined[k], clock.known[k]);
  }
  for (std::uint32_t rest = warps; rest; rest &= rest - 1) {
    const int w = std::countr_zero(rest);
    joined[w] = warps_[static_cast<std::size_t>(w)].clock.now;
  }
  for (std::uint32_t rest = warps; rest; rest &= rest - 1) {
    WarpClock& clock = warps_[static_cast<std::size_t>(std::countr_zero(rest))].clock;
    std::copy_n(joined, kMaxWarps, clock.known);
    shadow_.note_clock(++clock.now);
  }
}

void Block::warp_operation(Operation operation, void* operands, Perform perform, Location where) {
  Thread& me = self();
  Warp& mine = warp();
  const int lane = running_ % 32, first = running_ - lane;
  if (mine.arrived == 0) {
    mine.operation = operation;
    mine.where = where;
  } else if (mine.operation != operation || (aligned(operation) && !same(mine.where, where))) {
    throw Error(std::string("divergent warp: this lane is at ") + name_of(operation) + " at " +
                text(where) + ", thread " + std::to_string(first + std::countr_zero(mine.arrived)) +
                " at " + name_of(mine.operation) + " at " + text(mine.where));
  }
  me.operation = operation;
  me.where = where;
  mine.operands[lane] = operands;
  mine.arrived |= 1u << lane;
  if (mine.arrived != all_lanes) {
    suspend();
    return;
  }
  mine.arrived = 0;
  if (perform) perform(*this, mine.operands);
  if (operation == Operation::warp_sync) advance(1u << (running_ / 32));
  for (int k = 0; k < 32; ++k) {
    if (k != lane) make_ready(first + k);
  }
}

int Block::block_barrier(int value, Location where) {
  Thread& me = self();
  Warp& mine = warp();
  const int lane = running_ % 32;
  if (mine.at_barrier == 0) {
    mine.barrier_where = where;
  } else if (!same(mine.barrier_where, where)) {
    throw Error("divergent warp: this lane is at __syncthreads at " + text(where) + ", thread " +
                std::to_string(running_ - lane + std::countr_zero(mine.at_barrier)) +
                " at that at " + text(mine.barrier_where));
  }
  me.operation = Operation::block_barrier;
  me.where = where;
  mine.at_barrier |= 1u << lane;
  barrier_value_ |= value;
  if (++at_barrier_ < launch_.threads) {
    suspend();
    return barrier_result_;
  }
  at_barrier_ = 0;
  barrier_result_ = barrier_value_;
  barrier_value_ = 0;
  std::uint32_t warps = 0;
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    warps_[w].at_barrier = 0;
    warps |= 1u << w;
  }
  advance(warps);
  for (int k = 0; k < launch_.threads; ++k) {
    if (k != running_) make_ready(k);
  }
  return barrier_result_;
}

void Block::named_barrier(int id, int threads, Location where) {
  if (id < 1 || id > 15) {
    throw Error("named_barrier at " + text(where) + ": id " + std::to_string(id) +
                ", 1 to 15 wanted");
  }
  if (threads <= 0 || threads % 32 != 0 || threads > launch_.threads) {
    throw Error("named_barrier at " + text(where) + ": " + std::to_string(threads) +
                " threads, a multiple of 32 up to the block's " + std::to_string(launch_.threads) +
                " wanted");
  }
  NamedBarrier& barrier = named_[id];
  if (!barrier.warps) {
    barrier.wanted = threads;
  } else if (barrier.wanted != threads) {
    throw Error("named_barrier " + std::to_string(id) + " at " + text(where) + ": " +
                std::to_string(threads) + " threads, " + std::to_string(barrier.wanted) +
                " where others wait");
  }
  Thread& me = self();
  me.operation = Operation::named_barrier;
  me.barrier = id;
  me.where = where;
  const int mine = running_ / 32;
  barrier.lanes[mine] |= 1u << (running_ % 32);
  barrier.warps |= 1u << mine;
  if (barrier.lanes[mine] == all_lanes) ++barrier.warps_complete;
  if (32 * barrier.warps_complete < threads) {
    suspend();
    return;
  }
  // Lanes of a warp that is not complete wait on.
  std::uint32_t complete = 0;
  for (int w = 0; w < kMaxWarps; ++w) {
    if (barrier.lanes[w] == all_lanes) {
      complete |= 1u << w;
      barrier.lanes[w] = 0;
    }
  }
  barrier.warps &= ~complete;
  barrier.warps_complete = 0;
  advance(complete);
  for (int w = 0; w < kMaxWarps; ++w) {
    for (int lane = 0; lane < 32 && (complete >> w & 1u); ++lane) {
      if (32 * w + lane != running_) make_ready(32 * w + lane);
    }
  }
}

void Block::copy_async(int offset, const void* source) {
  shadow_.start_copy(accessor(), offset, 16);
  self().open_copies.push_back({offset, source});
}

void Block::copy_async_commit() {
  self().copy_groups.push_back(std::move(self().open_copies));
  self().open_copies.clear();
}

void Block::copy_async_wait(int pending) {
  std::deque<std::vector<Copy>>& groups = self().copy_groups;
  while (static_cast<int>(groups.size()) > pending) {
    for (const Copy& copy : groups.front()) {
      shadow_.land_copy(accessor(), copy.offset, 16, copy.source);
    }
    groups.pop_front();
  }
}

std::string Block::title() const {
  return std::string("kernel ") + launch_.name + ", block (" + std::to_string(index_.x) + ", " +
         std::to_string(index_.y) + ", " + std::to_string(index_.z) + "), schedule " +
         simt::name_of(order_.schedule);
}

/// Who waits for what, neighbours with the same wait together.
std::string Block::deadlock() const {
  const auto state = [&](int thread) -> std::string {
    const Thread& t = threads_[static_cast<std::size_t>(thread)];
    if (t.state == State::ended) return "have returned";
    std::string text = std::string("wait at ") + name_of(t.operation);
    if (t.operation == Operation::named_barrier) {
      text += ' ';
      text += std::to_string(t.barrier) + " of " + std::to_string(named_[t.barrier].wanted);
    }
    return text + " at " + simt::text(t.where);
  };
  std::string report = title() + ": deadlock";
  for (int first = 0; first < launch_.threads;) {
    const std::string what = state(first);
    int last = first;
    while (last + 1 < launch_.threads && state(last + 1) == what) ++last;
    report += std::string(first == 0 ? ": threads " : "; threads ") + std::to_string(first) +
              " to " + std::to_string(last) + " " + what;
    first = last + 1;
  }
  return report;
}

}  // namespace vitsnna::simt
