// The communicator of MPI_COMM_WORLD, with NCCL for sums on GPUs where it is there.
#include "train/parallel/mpi_communicator.h"

#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <exception>
#include <vector>

#include "kernels/error.h"
#include "train/parallel/awake_clock.h"
#include "train/parallel/mpi_sums.h"
#include "train/parallel/mpi_thread.h"
#ifdef VITSNNA_HAVE_NCCL
#include "kernels/cuda/nccl.h"
#endif

namespace vitsnna::train {
namespace {

void start_mpi() {
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  if (provided < MPI_THREAD_SERIALIZED) {
    throw Error(
        "MPI: this library offers calls from one thread only, MPI_THREAD_SERIALIZED wanted");
  }
}

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(const ParallelOptions& options)
      : options_(options), exceptions_(std::uncaught_exceptions()) {
    start_mpi();
    char name[MPI_MAX_PROCESSOR_NAME + 1] = {};
    int length = 0;
    MPI_Get_processor_name(name, &length);
    host_ = name;
    MPI_Comm local = MPI_COMM_NULL;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local);
    MPI_Comm_rank(local, &local_rank_);
    MPI_Comm_size(local, &local_size_);
    MPI_Comm_free(&local);
    thread_ = std::make_unique<MpiThread>(options);
  }

  ~MpiCommunicator() override {
    // The other ranks are not on their way out: they would wait for this one for ever.
    if (std::uncaught_exceptions() > exceptions_ && size() > 1) abort("left by an exception");
    thread_->set_check({});
#ifdef VITSNNA_HAVE_NCCL
    nccl_.reset();
#endif
    thread_.reset();
    MPI_Finalize();
  }

  int rank() const override { return thread_->rank(); }
  int size() const override { return thread_->size(); }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  std::string host() const override { return host_; }

  std::string_view transport() const override {
#ifdef VITSNNA_HAVE_NCCL
    if (nccl_) return "NCCL";
#endif
    return through_host_ ? "MPI through host memory" : "MPI";
  }

  bool sums_on_queue() const override {
#ifdef VITSNNA_HAVE_NCCL
    if (nccl_) return true;
#endif
    return size() == 1;
  }

  void open(engine::Queue& queue) override {
    through_host_ = queue.device().kind == engine::Device::Kind::cuda;
#ifdef VITSNNA_HAVE_NCCL
    if (through_host_) open_nccl(queue);
#endif
    thread_->set_check([this, clock = queue.wait_clock()] { return problem(*clock); });
  }

  void start_sum(engine::Queue& queue, float* values, index_t count) override {
    if (count < 1 || size() == 1) return;
#ifdef VITSNNA_HAVE_NCCL
    // Not counted as an exchange: a replayed graph holds sums that pass by here once.
    if (nccl_) return nccl_->start_sum(queue.raw(), values, count);
#endif
    if (through_host_) return sum_through_host(queue, values, count);
    queue.synchronize();
    thread_->post([this, values, count](MpiThread& thread) { sums_.sum(thread, values, count); });
  }

  void finish_sums(engine::Queue& queue) override {
#ifdef VITSNNA_HAVE_NCCL
    if (nccl_) return nccl_->finish_sums(queue.raw());
#endif
    (void)queue;
    thread_->drain();
  }

  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> bytes) override {
    std::vector<std::vector<std::byte>> result(static_cast<std::size_t>(size()));
    thread_->post([&](MpiThread& thread) {
      const auto own = static_cast<std::int64_t>(bytes.size());
      std::vector<std::int64_t> sizes(result.size());
      thread.wait([&](MPI_Request* request) {
        MPI_Iallgather(&own, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, MPI_COMM_WORLD, request);
      });
      const index_t piece = std::max<index_t>(1, options_.message_bytes / size());
      const index_t longest = *std::max_element(sizes.begin(), sizes.end());
      for (index_t first = 0; first < longest; first += piece) {
        gather_piece(thread, bytes, first, piece, sizes, result);
      }
    });
    thread_->drain();
    return result;
  }

  void broadcast(std::span<std::byte> bytes, int root) override {
    thread_->post([&](MpiThread& thread) {
      thread.wait([&](MPI_Request* request) {
        MPI_Ibcast(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, root, MPI_COMM_WORLD,
                   request);
      });
    });
    thread_->drain();
  }

  void barrier() override {
    thread_->post([](MpiThread& thread) {
      thread.wait([](MPI_Request* request) { MPI_Ibarrier(MPI_COMM_WORLD, request); });
    });
    thread_->drain();
  }

  [[noreturn]] void abort(const std::string& reason) noexcept override {
    thread_->abort(rank(), reason);
  }

 private:
  /// On the thread: appends bytes [first, first + piece) of every rank that has them.
  void gather_piece(MpiThread& thread, std::span<const std::byte> bytes, index_t first,
                    index_t piece, const std::vector<std::int64_t>& sizes,
                    std::vector<std::vector<std::byte>>& result) {
    std::vector<int> counts, offsets;
    int total = 0;
    for (const std::int64_t size : sizes) {
      counts.push_back(static_cast<int>(std::clamp<index_t>(size - first, 0, piece)));
      offsets.push_back(total);
      total += counts.back();
    }
    const int own = counts[static_cast<std::size_t>(rank())];
    const std::byte* from = own > 0 ? bytes.data() + first : nullptr;
    std::vector<std::byte> all(static_cast<std::size_t>(total));
    thread.wait([&](MPI_Request* request) {
      MPI_Iallgatherv(from, own, MPI_BYTE, all.data(), counts.data(), offsets.data(), MPI_BYTE,
                      MPI_COMM_WORLD, request);
    });
    for (std::size_t rank = 0; rank < sizes.size(); ++rank) {
      const auto begin = all.begin() + offsets[rank];
      result[rank].insert(result[rank].end(), begin, begin + counts[rank]);
    }
  }

#ifdef VITSNNA_HAVE_NCCL
  /// NCCL where every rank has it, else sums go through host memory.
  void open_nccl(engine::Queue& queue) {
    if (nccl_ || size() == 1) return;
    const std::string problem = kernels::cuda::nccl_problem();
    if (any_rank(*this, !problem.empty())) return;
    std::vector<std::byte> id(kernels::cuda::kNcclIdBytes);
    if (rank() == 0) id = kernels::cuda::new_nccl_id();
    broadcast(id, 0);
    nccl_ = std::make_unique<kernels::cuda::Nccl>(queue.raw(), id, rank(), size());
  }
  std::unique_ptr<kernels::cuda::Nccl> nccl_;
#endif

  /// On the thread: what is wrong with the sums of this rank's device; empty where nothing is.
  std::string problem(const engine::WaitClock& device) {
#ifdef VITSNNA_HAVE_NCCL
    if (nccl_) {
      if (const std::string said = nccl_->problem(); !said.empty()) return said;
    }
#endif
    // Of this wait: awake time since the last look, where it is not a new one.
    const double passed = awake_.seconds() - looked_;
    looked_ += passed;
    waited_ = std::min(waited_ + passed, device.seconds());
    if (waited_ < options_.stuck_seconds) return {};
#ifdef VITSNNA_HAVE_NCCL
    if (nccl_)
      nccl_->abort();  // its kernels, which wait for other ranks, would outlive the process
#endif
    return fmt::format(
        "waiting for its device for {:.0f} s, on which a sum over ranks or a kernel "
        "does not end",
        options_.stuck_seconds);
  }

  void sum_through_host(engine::Queue& queue, float* values, index_t count) {
    std::vector<float> host(static_cast<std::size_t>(count));
    queue.download(host.data(), values, count * 4);
    queue.synchronize();
    thread_->post([&](MpiThread& thread) { sums_.sum(thread, host.data(), count); });
    thread_->drain();
    queue.upload(values, host.data(), count * 4);
    queue.synchronize();
  }

  ParallelOptions options_;
  int exceptions_;
  std::string host_;
  int local_rank_ = 0, local_size_ = 1;
  bool through_host_ = false;
  AwakeClock awake_;
  double looked_ = 0, waited_ = 0;  ///< of problem(): by awake_, and for the device
  MpiSums sums_;
  std::unique_ptr<MpiThread> thread_;
};

}  // namespace

std::unique_ptr<Communicator> connect_mpi(const ParallelOptions& options) {
  return std::make_unique<MpiCommunicator>(options);
}

}  // namespace vitsnna::train
