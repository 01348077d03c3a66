// Opens libnccl, and forks a stream from the queue's for its sums.
#include "kernels/cuda/nccl.h"

#include <dlfcn.h>
#include <nccl.h>

#include <chrono>
#include <cstring>
#include <future>
#include <thread>
#include <utility>

#include "kernels/cuda/context.h"
#include "kernels/cuda/context_device.h"
#include "kernels/cuda/status.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

static_assert(sizeof(ncclUniqueId) == kNcclIdBytes);

struct Library {
  decltype(&::ncclGetUniqueId) unique_id;
  decltype(&::ncclCommInitRank) init;
  decltype(&::ncclCommDestroy) destroy;
  decltype(&::ncclCommAbort) abort;
  decltype(&::ncclCommGetAsyncError) async_error;
  decltype(&::ncclAllReduce) all_reduce;
  decltype(&::ncclGetErrorString) error_string;
  std::string problem;  ///< why there are no entries; else empty
};

Library load() {
  Library loaded{};
  const char* const name = "libnccl.so.2";
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen(VITSNNA_CUDA_LIBRARY_DIR "/libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    loaded.problem = std::string(name) + ": not found (LD_LIBRARY_PATH may name its folder)";
    return loaded;
  }
  const auto bind = [&]<class Entry>(Entry& entry, const char* symbol) {
    entry = reinterpret_cast<Entry>(dlsym(library, symbol));
    if (!entry) loaded.problem = std::string(name) + ": has no " + symbol;
  };
  bind(loaded.unique_id, "ncclGetUniqueId");
  bind(loaded.init, "ncclCommInitRank");
  bind(loaded.destroy, "ncclCommDestroy");
  bind(loaded.abort, "ncclCommAbort");
  bind(loaded.async_error, "ncclCommGetAsyncError");
  bind(loaded.all_reduce, "ncclAllReduce");
  bind(loaded.error_string, "ncclGetErrorString");
  return loaded;
}

const Library& nccl() {
  static const Library library = load();
  return library;
}

void check_nccl(ncclResult_t status, const char* what) {
  if (status == ncclSuccess) return;
  throw Error(std::string(what) + ": NCCL says " + nccl().error_string(status));
}

}  // namespace

struct Nccl::State {
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;

  ~State() {
    // Where a GPU was lost there is nobody left to tell.
    if (comm) (void)nccl().destroy(comm);
    if (event && cudaEventDestroy(event) != cudaSuccess) (void)cudaGetLastError();
    if (stream && cudaStreamDestroy(stream) != cudaSuccess) (void)cudaGetLastError();
  }
};

std::string nccl_problem() { return nccl().problem; }

std::vector<std::byte> new_nccl_id() {
  if (!nccl().problem.empty()) throw Error(nccl().problem);
  ncclUniqueId id;
  check_nccl(nccl().unique_id(&id), "joining GPUs");
  std::vector<std::byte> bytes(kNcclIdBytes);
  std::memcpy(bytes.data(), &id, kNcclIdBytes);
  return bytes;
}

Nccl::Nccl(const Queue& queue, std::span<const std::byte> id, int rank, int ranks)
    : state_(std::make_unique<State>()) {
  if (!nccl().problem.empty()) throw Error(nccl().problem);
  if (id.size() != kNcclIdBytes) {
    throw Error("NCCL: an identity of " + std::to_string(id.size()) + " bytes, " +
                std::to_string(kNcclIdBytes) + " wanted");
  }
  check(cudaSetDevice(context_of(queue).device), "choosing the GPU");
  // At the highest priority: a sum's few blocks are not to wait behind a product's many, which
  // would push the sum out from beside the backward to behind it.
  int lowest = 0, highest = 0;
  check(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "asking for stream priorities");
  check(cudaStreamCreateWithPriority(&state_->stream, cudaStreamNonBlocking, highest),
        "opening a stream");
  check(cudaEventCreateWithFlags(&state_->event, cudaEventDisableTiming), "making an event");
  ncclUniqueId unique;
  std::memcpy(&unique, id.data(), kNcclIdBytes);
  check_nccl(nccl().init(&state_->comm, ranks, unique, rank), "joining GPUs");
}

Nccl::~Nccl() = default;

void Nccl::start_sum(const Queue& queue, float* values, index_t count) {
  check(cudaEventRecord(state_->event, context_of(queue).stream), "ordering a sum over GPUs");
  check(cudaStreamWaitEvent(state_->stream, state_->event, 0), "ordering a sum over GPUs");
  check_nccl(nccl().all_reduce(values, values, static_cast<std::size_t>(count), ncclFloat, ncclSum,
                               state_->comm, state_->stream),
             "a sum over GPUs");
}

void Nccl::finish_sums(const Queue& queue) {
  check(cudaEventRecord(state_->event, state_->stream), "ordering a sum over GPUs");
  check(cudaStreamWaitEvent(context_of(queue).stream, state_->event, 0),
        "ordering a sum over GPUs");
}

void Nccl::abort() noexcept {
  try {
    // On a thread of its own: a driver that no longer answers must not keep the process.
    std::packaged_task<void()> task([comm = state_->comm] { (void)nccl().abort(comm); });
    const std::future<void> done = task.get_future();
    std::thread(std::move(task)).detach();
    done.wait_for(std::chrono::seconds(2));
  } catch (...) {
    return;  // no thread to be had: the end of the process has to do
  }
}

std::string Nccl::problem() const noexcept {
  ncclResult_t status = ncclSuccess;
  if (nccl().async_error(state_->comm, &status) != ncclSuccess) return {};
  if (status == ncclSuccess || status == ncclInProgress) return {};
  return std::string("a sum over GPUs: NCCL says ") + nccl().error_string(status);
}

}  // namespace vitsnna::kernels::cuda
