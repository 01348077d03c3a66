// The slow paths of shared memory's checks: what is found, and its wording.
#include "tests/simt/shadow.h"

#include <algorithm>

#include "kernels/error.h"

namespace vitsnna::simt {
namespace {

std::string at(int byte) { return "byte " + std::to_string(byte) + " of shared memory"; }
std::string thread(std::uint32_t index) { return "thread " + std::to_string(index); }

}  // namespace

std::uint32_t Shadow::begin_block(int bytes) {
  size_ = bytes;
  start_ = highest_;
  // Older stamps stay and count as ordered, until clocks run short.
  if (static_cast<std::size_t>(bytes) > bytes_.size() || start_ > clock_mask / 2) {
    start_ = highest_ = 0;
    const auto count = std::max(bytes_.size(), static_cast<std::size_t>(bytes));
    bytes_.assign(count, 0xcd);
    written_.assign(count, 0);
    reader_.assign(count, 0);
    other_reader_.assign(count, 0);
  }
  return start_;
}

void Shadow::note_clock(std::uint32_t now) {
  highest_ = std::max(highest_, now);
  if (highest_ >= under_way) throw Error("more barriers in one block than the layer can count");
}

void Shadow::check_read(const Accessor& who, int offset, int count) const {
  for (int k = offset; k < offset + count; ++k) {
    const std::uint32_t stamp = written_[static_cast<std::size_t>(k)];
    if (clock_of(stamp) == under_way) {
      throw Error("read of " + at(k) + " while an asynchronous copy by " +
                  thread(thread_of(stamp)) + " into it has not been waited for");
    }
    if (clock_of(stamp) <= start_) throw Error("read of " + at(k) + ", which nobody has written");
    if (!ordered(who, stamp)) {
      throw Error("data race: read of " + at(k) + ", written by " + thread(thread_of(stamp)) +
                  " with no barrier between");
    }
  }
}

void Shadow::check_write(const Accessor& who, int offset, int count, bool copy) const {
  const std::string what = copy ? "asynchronous copy into " : "write of ";
  for (int k = offset; k < offset + count; ++k) {
    const auto byte = static_cast<std::size_t>(k);
    if (clock_of(written_[byte]) == under_way) {
      throw Error(what + at(k) + " while an asynchronous copy by " +
                  thread(thread_of(written_[byte])) + " into it has not been waited for");
    }
    if (!ordered(who, written_[byte])) {
      throw Error("data race: " + what + at(k) + ", written by " +
                  thread(thread_of(written_[byte])) + " with no barrier between");
    }
    for (const std::uint32_t reader : {reader_[byte], other_reader_[byte]}) {
      if (!ordered(who, reader)) {
        throw Error("data race: " + what + at(k) + ", read by " + thread(thread_of(reader)) +
                    " with no barrier between");
      }
    }
  }
}

void Shadow::note_read(const Accessor& who, int offset, int count) {
  const std::uint32_t stamp = stamp_of(who);
  for (int k = offset; k < offset + count; ++k) {
    std::uint32_t& first = reader_[static_cast<std::size_t>(k)];
    std::uint32_t& second = other_reader_[static_cast<std::size_t>(k)];
    // A read that happened before this one is implied by it.
    if (ordered(who, first)) {
      first = stamp;
    } else if (ordered(who, second) || (thread_of(first) / 32 == thread_of(second) / 32 &&
                                        who.thread / 32 != thread_of(first) / 32)) {
      second = stamp;
    }
  }
}

void Shadow::claim(const Accessor& who, int offset, int count, bool copy) {
  bool clear = true;
  for (int k = offset; k < offset + count; ++k) {
    const auto byte = static_cast<std::size_t>(k);
    clear &= ordered(who, written_[byte]) && ordered(who, reader_[byte]) &&
             ordered(who, other_reader_[byte]);
  }
  if (!clear) check_write(who, offset, count, copy);
  std::fill_n(written_.begin() + offset, count,
              copy ? who.thread << clock_bits | under_way : stamp_of(who));
}

void Shadow::start_copy(const Accessor& who, int offset, int count) {
  claim(who, offset, count, true);
}

void Shadow::land_copy(const Accessor& who, int offset, int count, const void* from) {
  if (from) {
    std::memcpy(bytes_.data() + offset, from, static_cast<std::size_t>(count));
  } else {
    std::memset(bytes_.data() + offset, 0, static_cast<std::size_t>(count));
  }
  std::fill_n(written_.begin() + offset, count, stamp_of(who));
}

void Shadow::drop_copy(int offset, int count) { std::fill_n(written_.begin() + offset, count, 0); }

}  // namespace vitsnna::simt
