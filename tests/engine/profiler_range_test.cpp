// A profiler sees the stages of an explanation with their ops inside. The profiler is this program:
// NVTX finds it by a symbol, as it finds one that is linked in.
#include "engine/profiler_range.h"

#include <gtest/gtest.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <string>
#include <vector>

#include "explain/explainer.h"
#include "model/vit.h"
#include "tests/support/small_vit.h"

namespace {

/// Ranges in the order in which they began, outer ones before a slash; and those open now.
std::vector<std::string>& begun() {
  static std::vector<std::string> ranges;
  return ranges;
}
std::vector<std::string>& open_ranges() {
  static std::vector<std::string> ranges;
  return ranges;
}

int NVTX_API push(nvtxDomainHandle_t, const nvtxEventAttributes_t* attributes) {
  const std::string outer = open_ranges().empty() ? "" : open_ranges().back() + "/";
  open_ranges().push_back(outer + attributes->message.ascii);
  begun().push_back(open_ranges().back());
  return static_cast<int>(open_ranges().size()) - 1;
}
int NVTX_API pop(nvtxDomainHandle_t) {
  if (open_ranges().empty()) ADD_FAILURE() << "a range ended that had not begun";
  open_ranges().pop_back();
  return static_cast<int>(open_ranges().size());
}

int NVTX_API attach(NvtxGetExportTableFunc_t get_table) {
  const auto* callbacks =
      static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (!callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size)) return 0;
  *table[NVTX_CBID_CORE2_DomainRangePushEx] = reinterpret_cast<NvtxFunctionPointer>(push);
  *table[NVTX_CBID_CORE2_DomainRangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
  return 1;
}

const bool attached = [] {
  InitializeInjectionNvtx2_fnptr = attach;  // before the first range; declared by NVTX
  return true;
}();

}  // namespace

namespace vitsnna::engine {
namespace {

bool was_begun(const std::string& range) {
  return std::find(begun().begin(), begun().end(), range) != begun().end();
}

TEST(ProfilerRanges, AnExplanationsStagesHoldTheirOps) {
  Queue queue(select_device("cpu"), 1);
  const model::Vit vit =
      model::Vit(queue, test::small_config(), test::small_metadata(),
                 test::small_tensors(test::small_config(), 1), kernels::DType::f32);
  explain::Explainer explainer(vit, queue);
  const index_t side = 4 * vit.config().patch_size;
  const std::vector<float> pixels(static_cast<std::size_t>(3 * side * side), .5f);
  begun().clear();
  explainer.explain({pixels.data(), side, side}, {});
  for (const char* range :
       {"explain", "explain/forward", "explain/forward/attention_forward", "explain/relevance",
        "explain/backward", "explain/noise", "explain/noise/patchify"}) {
    EXPECT_TRUE(was_begun(range)) << range;
  }
  EXPECT_TRUE(open_ranges().empty());
}

TEST(ProfilerRanges, EndWhenWhatTheyHoldFails) {
  EXPECT_ANY_THROW({
    CountingLedger inner(CountingLedger::Mode::measure);
    inner.begin("fails", 0, 0, 0);
    throw 0;
  });
  EXPECT_TRUE(open_ranges().empty());
}

}  // namespace
}  // namespace vitsnna::engine
