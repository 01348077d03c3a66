// One rank of a job that a test launches: ranks_worker MODE [ARGUMENT]. Checks what it can itself;
// a wrong result is an Error, which ends the job.
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <thread>

#include "kernels/error.h"
#include "train/parallel/connect.h"

namespace vitsnna::test {
namespace {

using train::Communicator;
using train::index_t;

constexpr int kFaulty = 2;  ///< the rank to which something happens

void expect(bool condition, const std::string& what) {
  if (!condition) throw Error("wrong: " + what);
}

/// What rank `rank` adds at `at`: sums of it depend on their order in fp32.
float addend(int rank, index_t at) {
  const auto mixed = static_cast<std::uint32_t>(at * 2654435761u + rank * 40503u * 65537u);
  return (static_cast<float>(mixed >> 8) / 8388608.f - 1.f) * static_cast<float>(1 << (at % 9));
}

/// Several sums under way at once, of sizes that divide among the ranks and that do not.
void sums(Communicator& all) {
  engine::Queue queue(engine::select_device("cpu"), 1);
  all.open(queue);
  for (int round = 0; round < 3; ++round) {
    std::map<index_t, std::vector<float>> buffers;
    for (const index_t count : {index_t{1}, index_t{3}, index_t{64}, index_t{100003}}) {
      std::vector<float>& values = buffers[count];
      for (index_t at = 0; at < count; ++at) values.push_back(addend(all.rank(), at + round));
      all.start_sum(queue, values.data(), count);
    }
    all.finish_sums(queue);
    for (const auto& [count, values] : buffers) {
      for (index_t at = 0; at < count; ++at) {
        double sum = 0;
        for (int rank = 0; rank < all.size(); ++rank) {
          sum += static_cast<double>(addend(rank, at + round));
        }
        const auto wanted = static_cast<float>(sum);
        expect(std::memcmp(&wanted, &values[static_cast<std::size_t>(at)], 4) == 0,
               fmt::format("sum {} of {}: {}, {} wanted", at, count,
                           values[static_cast<std::size_t>(at)], wanted));
      }
    }
  }
}

void records(Communicator& all) {
  const std::string text(static_cast<std::size_t>(3 * all.rank()),
                         static_cast<char>('a' + all.rank()));
  const auto gathered = all.gather(std::as_bytes(std::span(text.data(), text.size())));
  expect(gathered.size() == static_cast<std::size_t>(all.size()), "number of records");
  for (int rank = 0; rank < all.size(); ++rank) {
    const auto& record = gathered[static_cast<std::size_t>(rank)];
    expect(record.size() == static_cast<std::size_t>(3 * rank), "length of a record");
    for (const std::byte byte : record) expect(static_cast<char>(byte) == 'a' + rank, "a record");
  }
  double told[2] = {all.rank() + .5, -1. * all.rank()};
  all.broadcast(std::as_writable_bytes(std::span(told)), all.size() - 1);
  expect(told[0] == all.size() - .5 && told[1] == 1. - all.size(), "a broadcast");
  const double own[2] = {1., static_cast<double>(all.rank())};
  const auto sum = train::sum_over_ranks(all, own);
  expect(sum[0] == all.size() && sum[1] == all.size() * (all.size() - 1) / 2, "a sum of numbers");
  expect(train::any_rank(all, all.rank() == all.size() - 1), "any of which one says yes");
  expect(!train::any_rank(all, false), "any of which none says yes");
  train::require_equal_ranks(all, "options", "the same");
  expect(all.local_size() == all.size() && all.local_rank() == all.rank(), "ranks of one machine");
  all.barrier();
}

/// Fewer ranks have had the signal than stop at its step.
void stop(Communicator& all) {
  static volatile sig_atomic_t asked = 0;
  signal(SIGUSR1, [](int) { asked = 1; });
  int step = 0;
  for (;; ++step) {
    if (step == 3 && all.rank() == kFaulty) raise(SIGUSR1);
    if (train::any_rank(all, asked != 0)) break;
  }
  expect(step == 3, fmt::format("stopped at step {}, 3 wanted", step));
}

[[noreturn]] void stall() {
  for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
}

/// Every rank waits for bytes of the next one, and none has them.
void wait_for_each_other(Communicator& all) {
  std::byte told[8] = {};
  all.broadcast(told, (all.rank() + 1) % all.size());
}

/// A sum of memory whose device never comes to an end, on every rank.
void sum_on_a_device_that_hangs(Communicator& all) {
  kernels::Backend table = kernels::cpu_backend();
  table.synchronize = [](kernels::Queue&) { stall(); };
  engine::Device device = engine::select_device("cpu");
  device.backend = &table;
  engine::Queue queue(device, 1);
  all.open(queue);
  float value = 1.f;
  all.start_sum(queue, &value, 1);
}

/// All ranks are stopped for 4 s, as by a batch system, while all but one wait for that one.
void be_suspended(Communicator& all) {
  all.barrier();
  const pid_t self = getpid(), child = fork();
  if (child == 0) {
    usleep(500'000);
    kill(self, SIGSTOP);
    sleep(4);
    kill(self, SIGCONT);
    _exit(0);
  }
  if (all.rank() == kFaulty) std::this_thread::sleep_for(std::chrono::seconds(1));
  all.barrier();
  waitpid(child, nullptr, 0);
}

/// Something happens to one rank while the others wait for it.
void happen(Communicator& all, const std::string& what) {
  all.barrier();
  if (all.rank() == kFaulty) {
    if (what == "error") throw Error("frames/17.png: not there");
    if (what == "killed") raise(SIGKILL);
    if (what == "stopped") raise(SIGSTOP);
    if (what == "stalled") stall();
    if (what == "left") _exit(0);
  }
  if (what == "drifted") {
    train::require_equal_ranks(all, "digest of the weights",
                               all.rank() == kFaulty ? "one\n0badf00d\n" : "one\n600df00d\n");
  }
  all.barrier();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  all.barrier();
}

void run(Communicator& all, const std::string& mode) {
  if (mode == "sums") return sums(all);
  if (mode == "records" || mode == "pieces") return records(all);
  if (mode == "stop") return stop(all);
  if (mode == "stuck") return wait_for_each_other(all);
  if (mode == "suspended") return be_suspended(all);
  if (mode == "hangs") return sum_on_a_device_that_hangs(all);
  happen(all, mode);
}

}  // namespace
}  // namespace vitsnna::test

int main(int argc, char** argv) {
  using namespace vitsnna;
  if (argc != 2) return 2;
  const std::string mode = argv[1];
  try {
    train::ParallelOptions options;
    options.beat_seconds = .1;
    if (mode == "pieces") options.message_bytes = 10;  // of records of up to 9 bytes each
    const bool suspended = mode == "suspended";
    if (mode == "stopped" || suspended) options.silence_seconds = 2.;
    if (mode == "stalled" || suspended) options.late_seconds = 2.;
    if (mode == "stuck" || mode == "hangs" || suspended) options.stuck_seconds = 2.;
    const auto all = train::connect(options);
    if (mode == "thrown") {
      all->barrier();
      if (all->rank() == test::kFaulty) throw Error("out of its scope");
      all->barrier();
      return 0;
    }
    train::run_guarded(*all, [&] { test::run(*all, mode); });
    if (all->rank() == 0) std::printf("%d ranks over %s\n", all->size(), all->transport().data());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "not connected: %s\n", error.what());
    return 3;
  }
}
