// libFuzzer target of the safetensors reader.
#include "engine/io/safetensors.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    vitsnna::fuzz::touch(
        vitsnna::engine::parse_safetensors("fuzz", vitsnna::fuzz::as_bytes(data, size), {}));
  } catch (const vitsnna::Error&) {
  }
  return 0;
}
