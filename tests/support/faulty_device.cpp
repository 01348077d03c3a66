// Wrappers of every entry of a backend's table.
#include "tests/support/faulty_device.h"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "kernels/error.h"

namespace vitsnna::test {
namespace {

using kernels::Backend;
using kernels::Graph;
using kernels::Op;
using kernels::Queue;

constexpr std::array<const char*, 6> kPoints = {"none",   "memory", "allocate",
                                                "launch", "copy",   "synchronize"};

const Backend* base = nullptr;
std::array<std::atomic<index_t>, kPoints.size()> calls = {};
std::atomic<index_t> blocks = 0, bytes_out = 0;
std::atomic<bool> lost = false;

std::atomic<index_t>& count_of(FaultPoint point) { return calls[static_cast<std::size_t>(point)]; }

FaultyDevice from_environment() {
  FaultyDevice device;
  if (const char* text = std::getenv("VITSNNA_FAULT")) {
    std::istringstream words(text);
    std::string point, call, once;
    std::getline(words, point, ':');
    std::getline(words, call, ':');
    std::getline(words, once);
    std::size_t k = 0;
    while (k < kPoints.size() && point != kPoints[k]) ++k;
    if (k == kPoints.size()) throw std::runtime_error("VITSNNA_FAULT: " + point);
    device.fault = {static_cast<FaultPoint>(k), std::stoll(call), once == "once"};
  }
  if (const char* text = std::getenv("VITSNNA_FAULT_TOTAL")) device.total_bytes = std::stoll(text);
  if (const char* text = std::getenv("VITSNNA_FAULT_HIDDEN")) {
    device.hidden_bytes = std::stoll(text);
  }
  return device;
}

/// Counts one call of `point`; throws where it is to fail, or the device is lost.
void pass(FaultPoint point, const char* what) {
  const index_t call = ++count_of(point);
  const Fault& fault = faulty_device().fault;
  if (fault.point == point && point != FaultPoint::memory && call >= fault.call) lost = true;
  if (lost) throw Error(std::string(what) + ": the GPU was lost");
}

[[noreturn]] void out_of_memory(index_t bytes) {
  const index_t total_bytes = faulty_device().total_bytes;
  const index_t free_bytes = total_bytes - faulty_device().hidden_bytes - bytes_out;
  throw OutOfMemory("GPU memory: " + std::to_string(bytes) + " bytes wanted, " +
                    std::to_string(free_bytes) + " free of " + std::to_string(total_bytes));
}

void* allocate(index_t bytes) {
  pass(FaultPoint::allocate, "allocating GPU memory");
  const Fault& fault = faulty_device().fault;
  const index_t call = ++count_of(FaultPoint::memory);
  if (fault.point == FaultPoint::memory && (fault.once ? call == fault.call : call >= fault.call)) {
    out_of_memory(bytes);
  }
  if (bytes_out + bytes > faulty_device().total_bytes - faulty_device().hidden_bytes) {
    out_of_memory(bytes);
  }
  void* memory = base->allocate(bytes);
  ++blocks;
  bytes_out += bytes;
  return memory;
}

void deallocate(void* memory, index_t bytes) noexcept {
  base->deallocate(memory, bytes);
  --blocks;
  bytes_out -= bytes;
}

void memory_info(index_t& free_bytes, index_t& total_bytes) {
  total_bytes = faulty_device().total_bytes;
  free_bytes = total_bytes - bytes_out;
}

void* allocate_pinned(index_t bytes) {
  pass(FaultPoint::allocate, "allocating pinned host memory");
  void* memory = base->allocate_pinned ? base->allocate_pinned(bytes) : base->allocate(bytes);
  ++blocks;
  return memory;
}

void deallocate_pinned(void* memory, index_t bytes) noexcept {
  base->deallocate_pinned ? base->deallocate_pinned(memory, bytes)
                          : base->deallocate(memory, bytes);
  --blocks;
}

void copy_to_device(Queue& queue, void* device, const void* host, index_t bytes) {
  pass(FaultPoint::copy, "copying to the GPU");
  base->copy_to_device(queue, device, host, bytes);
}

void copy_to_host(Queue& queue, void* host, const void* device, index_t bytes) {
  pass(FaultPoint::copy, "copying from the GPU");
  base->copy_to_host(queue, host, device, bytes);
}

void fill_zero(Queue& queue, void* device, index_t bytes) {
  pass(FaultPoint::launch, "clearing GPU memory");
  base->fill_zero(queue, device, bytes);
}

void synchronize(Queue& queue) {
  pass(FaultPoint::synchronize, "waiting for the GPU");
  base->synchronize(queue);
}

void launch_graph(Queue& queue, const Graph& graph) {
  pass(FaultPoint::launch, "launching a graph");
  base->launch_graph(queue, graph);
}

template <class Args>
Args arguments_of(Op<Args> Backend::*);

template <auto op>
void run(Queue& queue, const decltype(arguments_of(op))& args) {
  pass(FaultPoint::launch, op_name(args));
  (base->*op).run(queue, args);
}

template <auto... ops>
void wrap(Backend& table) {
  (((table.*ops).run = run<ops>), ...);
}

Backend make(std::string_view name) {
  Backend b = *base;
  b.name = name;
  b.allocate = allocate;
  b.deallocate = deallocate;
  b.memory_info = memory_info;
  b.allocate_pinned = allocate_pinned;
  b.deallocate_pinned = deallocate_pinned;
  b.copy_to_device = copy_to_device;
  b.copy_to_host = copy_to_host;
  b.fill_zero = fill_zero;
  b.synchronize = synchronize;
  if (b.launch_graph) b.launch_graph = launch_graph;
  wrap<&Backend::prepare_linear, &Backend::linear, &Backend::attention_forward,
       &Backend::attention_backward, &Backend::attention_probabilities,
       &Backend::attention_gradient, &Backend::relevance_rows, &Backend::relevance_cls_row,
       &Backend::value_norm, &Backend::layer_norm, &Backend::layer_norm_backward, &Backend::gelu,
       &Backend::patchify, &Backend::unpatchify_gradient, &Backend::resample_position_embedding,
       &Backend::assemble_tokens, &Backend::assemble_tokens_backward, &Backend::copy_rows,
       &Backend::min_max, &Backend::resample_normalize, &Backend::render_overlay>(b);
  return b;
}

/// At the end of the process: the counts, and whether everything was given back.
struct LastWord {
  ~LastWord() {
    if (const char* path = std::getenv("VITSNNA_FAULT_COUNTS")) {
      std::ofstream file(path);
      for (std::size_t k = 0; k < kPoints.size(); ++k)
        file << kPoints[k] << " " << calls[k] << "\n";
    }
    if (blocks == 0) return;
    std::fprintf(stderr, "faulty device: %lld blocks of memory were not given back\n",
                 static_cast<long long>(blocks));
    std::abort();
  }
};

}  // namespace

const Backend& faulty_backend(const Backend& of, std::string_view name) {
  if (!base) base = &of;
  static const Backend table = make(name);
  static const LastWord last_word;
  return table;
}

FaultyDevice& faulty_device() {
  static FaultyDevice device = from_environment();
  return device;
}

index_t calls_of(FaultPoint point) { return count_of(point); }
index_t blocks_out() { return blocks; }
void forget_calls() {
  for (std::atomic<index_t>& count : calls) count = 0;
  lost = false;
}

}  // namespace vitsnna::test
