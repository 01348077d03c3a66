// libFuzzer target of the .npy reader.
#include "engine/io/npy.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    vitsnna::fuzz::touch(
        vitsnna::engine::parse_npy("fuzz", vitsnna::fuzz::as_bytes(data, size), {}));
  } catch (const vitsnna::Error&) {
  }
  return 0;
}
