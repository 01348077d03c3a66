// Named ranges on a profiler's time line (NVTX: Nsight Systems and Compute): the stages of an
// explanation and its ops. Without CUDA this is nothing; without a profiler, a call that returns.
#pragma once

namespace vitsnna::engine {

/// From construction to destruction, on the calling thread; ranges nest.
class ProfilerRange {
 public:
#ifdef VITSNNA_HAVE_CUDA
  explicit ProfilerRange(const char* name);
  ~ProfilerRange();
#else
  explicit ProfilerRange(const char*) {}
#endif
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
};

}  // namespace vitsnna::engine
