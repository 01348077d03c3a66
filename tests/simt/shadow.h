// A block's shared memory with, for each byte, who wrote and who read it last: finds bytes that
// were never written, asynchronous copies that nobody waited for, and data races.
//
// Order of events. Every barrier and warp sync is joined by whole warps, so that time is counted by
// warp: each sync that a warp takes part in advances its clock. An access is stamped with its
// thread and its warp's clock. A warp knows, of each warp, the clock up to which that one's
// accesses happened before its own (of itself: all before its present clock). Two accesses to a
// byte, one of them a write, are ordered if one thread made both or the later one's warp knows of
// the earlier; otherwise they race, whatever order they happened to run in.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace vitsnna::simt {

constexpr int kMaxWarps = 32;

/// What a warp knows; see above.
struct WarpClock {
  std::uint32_t now = 0;
  std::uint32_t known[kMaxWarps] = {};
};

/// A thread as the one that makes an access.
struct Accessor {
  std::uint32_t thread = 0;
  const WarpClock* clock = nullptr;
};

class Shadow {
 public:
  /// A new block with `bytes` of shared memory, none of them written. Returns the clock at which
  /// its warps start: each begins at this + 1 and knows of all up to this.
  std::uint32_t begin_block(int bytes);

  int size() const { return size_; }

  template <int count>
  void read(const Accessor& who, int offset, void* to) {
    const std::uint32_t* wrote = written_.data() + offset;
    bool alike = true;
    for (int k = 1; k < count; ++k) alike &= wrote[k] == wrote[0];
    if (!alike || clock_of(wrote[0]) <= start_ || !ordered(who, wrote[0])) {
      check_read(who, offset, count);
    }
    const std::uint32_t stamp = stamp_of(who);
    const std::uint32_t* seen = reader_.data() + offset;
    bool mine = true;
    for (int k = 0; k < count; ++k) mine &= seen[k] == stamp;
    if (!mine) note_read(who, offset, count);
    std::memcpy(to, bytes_.data() + offset, count);
  }

  template <int count>
  void write(const Accessor& who, int offset, const void* from) {
    claim(who, offset, count, false);
    std::memcpy(bytes_.data() + offset, from, count);
  }

  /// From here until land_copy() the bytes are nobody's: any access to them is an error.
  void start_copy(const Accessor& who, int offset, int count);
  /// The copy's data arrives, written by `who` now; null: zeros.
  void land_copy(const Accessor& who, int offset, int count, const void* from);
  /// Forgets a copy that was under way when its block ended.
  void drop_copy(int offset, int count);

 private:
  static constexpr int clock_bits = 22;
  static constexpr std::uint32_t clock_mask = (1u << clock_bits) - 1;
  static constexpr std::uint32_t under_way = clock_mask;  ///< clock of a copy's bytes

  static std::uint32_t clock_of(std::uint32_t stamp) { return stamp & clock_mask; }
  static std::uint32_t thread_of(std::uint32_t stamp) { return stamp >> clock_bits; }
  static std::uint32_t stamp_of(const Accessor& who) {
    return who.thread << clock_bits | who.clock->now;
  }
  static bool ordered(const Accessor& who, std::uint32_t stamp) {
    return clock_of(stamp) <= who.clock->known[thread_of(stamp) / 32] ||
           (thread_of(stamp) == who.thread && clock_of(stamp) != under_way);
  }

  void claim(const Accessor& who, int offset, int count, bool copy);
  void check_read(const Accessor& who, int offset, int count) const;
  void check_write(const Accessor& who, int offset, int count, bool copy) const;
  void note_read(const Accessor& who, int offset, int count);

  int size_ = 0;
  std::uint32_t start_ = 0;    ///< stamps up to here are an earlier block's
  std::uint32_t highest_ = 0;  ///< greatest clock seen
  std::vector<unsigned char> bytes_;
  // Of each byte: the last write, and two reads since. Where more than two reads are unordered
  // among themselves, two are kept, of different warps if they can be.
  std::vector<std::uint32_t> written_, reader_, other_reader_;

 public:
  /// A warp's clock has reached this; beyond what a stamp can hold is an error.
  void note_clock(std::uint32_t now);
};

}  // namespace vitsnna::simt
