// Marks a small function as one for host and device code alike.
#pragma once

// Always inlined on the host: these headers are compiled for several instruction sets, and an
// out-of-line copy of one must never be linked in place of another's.
#if defined(__CUDACC__)
#define VITSNNA_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define VITSNNA_HOST_DEVICE inline __attribute__((always_inline))
#endif
