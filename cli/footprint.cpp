// What is resident now, plus what the passes and the pictures will add.
#include "cli/footprint.h"

#include <algorithm>

#include "cli/process_memory.h"

namespace vitsnna::cli {
namespace {

// Code that runs for the first time (matrix products compiled for this processor, OpenMP's stacks,
// the PNG writer) and the allocator's slack. Measured: with this constant eight runs of a ViT-Tiny
// and a ViT-S/8, 224x224 to 480x640, one method and all, 135 to 821 MiB, are predicted within 2%.
constexpr std::int64_t kFirstUseBytes = std::int64_t{19} << 20;

}  // namespace

std::int64_t predicted_peak_bytes(const explain::ExplainPlan& plan, explain::Extent extent,
                                  std::size_t labels, std::size_t methods, Session& session) {
  const std::int64_t rgb = 3 * extent.area();
  const auto rows = static_cast<std::int64_t>(std::min(labels, MapFiles::rows_per_page()));
  const auto columns = static_cast<std::int64_t>(methods);
  // Overlay, its copy in the encoder's order and the encoded bytes; a contact sheet holds every
  // overlay of a page, and the page itself three times.
  std::int64_t pictures = 3 * rgb;
  if (methods > 1) pictures += rows * columns * rgb + 3 * rows * (columns + 1) * rgb;
  const bool on_host = session.queue().device().kind == engine::Device::Kind::cpu;
  const std::int64_t passes = on_host ? plan.arena_bytes + plan.scratch_bytes : 0;
  // Drawing comes after the passes, whose memory is kept for the next input.
  return std::max(peak_resident_bytes(), resident_bytes() + passes + pictures + kFirstUseBytes);
}

}  // namespace vitsnna::cli
