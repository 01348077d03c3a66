// The single process, and what is made of the collective calls.
#include "train/parallel/communicator.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include "kernels/error.h"

namespace vitsnna::train {
namespace {

class SingleProcess final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  std::string host() const override { return "localhost"; }
  std::string_view transport() const override { return "none"; }
  bool sums_on_queue() const override { return true; }
  void open(engine::Queue&) override {}
  void start_sum(engine::Queue&, float*, index_t) override {}
  void finish_sums(engine::Queue&) override {}
  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> bytes) override {
    return {std::vector<std::byte>(bytes.begin(), bytes.end())};
  }
  void broadcast(std::span<std::byte>, int) override {}
  void barrier() override {}
  [[noreturn]] void abort(const std::string& reason) noexcept override {
    std::fputs((reason + "\n").c_str(), stderr);
    std::_Exit(1);
  }
};

}  // namespace

std::unique_ptr<Communicator> single_process() { return std::make_unique<SingleProcess>(); }

std::vector<std::vector<double>> gather_numbers(Communicator& communicator,
                                                std::span<const double> numbers) {
  std::vector<std::vector<double>> result;
  for (const std::vector<std::byte>& bytes : communicator.gather(std::as_bytes(numbers))) {
    if (bytes.size() != numbers.size_bytes()) {
      throw Error(fmt::format("rank {}: {} numbers, {} on rank {}", result.size(),
                              bytes.size() / sizeof(double), numbers.size(), communicator.rank()));
    }
    result.emplace_back(numbers.size());
    if (!bytes.empty()) std::memcpy(result.back().data(), bytes.data(), bytes.size());
  }
  return result;
}

std::vector<double> sum_over_ranks(Communicator& communicator, std::span<const double> numbers) {
  std::vector<double> sums(numbers.size(), 0.);
  for (const std::vector<double>& of_rank : gather_numbers(communicator, numbers)) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += of_rank[i];
  }
  return sums;
}

bool any_rank(Communicator& communicator, bool value) {
  const double flag = value ? 1. : 0.;
  return sum_over_ranks(communicator, std::span(&flag, 1)).front() > 0.;
}

namespace {

/// The first line in which two texts differ, of each.
std::pair<std::string_view, std::string_view> first_difference(std::string_view a,
                                                               std::string_view b) {
  while (true) {
    const std::string_view x = a.substr(0, a.find('\n')), y = b.substr(0, b.find('\n'));
    if (x != y || x.size() == a.size() || y.size() == b.size()) return {x, y};
    a.remove_prefix(x.size() + 1);
    b.remove_prefix(y.size() + 1);
  }
}

}  // namespace

void require_equal_ranks(Communicator& communicator, const std::string& what,
                         std::string_view value) {
  const auto all = communicator.gather(std::as_bytes(std::span(value.data(), value.size())));
  const auto text = [&](std::size_t rank) {
    return std::string_view(reinterpret_cast<const char*>(all[rank].data()), all[rank].size());
  };
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (text(rank) == text(0)) continue;
    const auto [its, first] = first_difference(text(rank), text(0));
    throw Error(
        fmt::format("{}: rank {} has {}, rank 0 has {}; the same wanted", what, rank, its, first));
  }
}

void run_guarded(Communicator& communicator, const std::function<void()>& job) {
  if (communicator.size() == 1) return job();
  try {
    job();
  } catch (const std::bad_alloc&) {
    communicator.abort("not enough memory");
  } catch (const std::exception& error) {
    communicator.abort(error.what());
  } catch (...) {
    communicator.abort("an unknown failure");
  }
}

std::string device_of_rank(std::string_view text, int local_rank, int local_size, int gpus) {
  if ((text != "auto" && text != "cuda") || local_size == 1 || gpus == 0) return std::string(text);
  if (gpus == 1) return "cuda:0";
  if (local_rank >= gpus) {
    throw Error(fmt::format("{} ranks on a machine with {} GPUs, at most one rank a GPU wanted",
                            local_size, gpus));
  }
  return fmt::format("cuda:{}", local_rank);
}

std::string rank_message(int rank, int size, const std::string& host, const std::string& reason) {
  return fmt::format("rank {} of {} on {}: {}", rank, size, host, reason);
}

}  // namespace vitsnna::train
