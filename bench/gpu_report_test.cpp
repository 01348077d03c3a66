// The tables of a GPU run, from small outputs made by hand (no figure of them was measured).
#include "bench/gpu_report.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/expect_error.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::bench {
namespace {

class GpuReport : public testing::Test {
 protected:
  void write(const char* name, const std::string& text) {
    std::ofstream(folder_.path() / name) << text;
  }
  std::string full() { return full_report(folder_.path()); }
  static void expect(const std::string& report, const std::string& line) {
    EXPECT_NE(report.find(line), std::string::npos) << "'" << line << "' is not in:\n" << report;
  }
  test::TempDirectory folder_;
};

std::string benchmark(const std::string& name, double time, const char* unit,
                      const std::string& counters) {
  return R"({"name": ")" + name + R"(", "run_type": "iteration", "real_time": )" +
         std::to_string(time) + R"(, "time_unit": ")" + unit + "\"" + counters + "}";
}

std::string program(const std::string& benchmarks) {
  return R"({"context": {"peak bf16 GFLOP/s": "700000.5", "peak copy GB/s": "3000.25"},
             "benchmarks": [)" +
         benchmarks + "]}";
}

TEST_F(GpuReport, SetsAttentionBesideCudnnAndTheFastestOfPyTorch) {
  write("cuda_ops.json", program(benchmark("attention_forward/bf16/785/min_time:0.020/manual_time",
                                           20, "us", R"(, "FLOP/s": 2e14, "share": 0.25)")));
  write("cudnn_ops.json", program(benchmark("attention_forward/bf16/785/min_time:0.020/manual_time",
                                            15, "us", R"(, "FLOP/s": 2.6e14, "share": 0.33)")));
  write("attention_torch.json",
        R"({"attention": [{"name": "attention_forward/bf16/785", "backend": "flash", "us": 31},
                          {"name": "attention_forward/bf16/785", "backend": "cudnn", "us": 17}]})");
  expect(full(), "| attention_forward/bf16/785 | 20.0 | 200 | 0.25 | 15.0 | 0.75 | 17.0 (cudnn) |");
  expect(short_report(folder_.path()), "20.0 us     200 TFLOP/s, 0.75 of cuDNN's");
}

TEST_F(GpuReport, SetsExplanationsBesideTheFastestWayOfEachBaseline) {
  const std::string key = "360x640/labels:1/bf16";
  write("explain.json",
        program(benchmark("explain/snna/" + key + "/replayed/real_time", 12.5, "ms",
                          R"(, "MiB": 700.0, "MiB_taken": 760.0)") +
                "," + benchmark("explain/snna/" + key + "/eager/real_time", 15, "ms", "")));
  const auto baseline = [](double seconds, const char* graph) {
    return R"({"size": "360x640", "labels": 1, "precision": "bf16", "gpu_peak_mib": 900.0, )"
           R"("tile_rows": 1024, "seconds": )" +
           std::to_string(seconds) + R"(, "graph": )" + graph + "}\n";
  };
  write("best_pytorch.jsonl", baseline(.040, "false") + baseline(.025, "true"));
  expect(full(),
         "| " + key +
             " | 12.50 ms | 80.0 | 15.00 ms | 700 MiB planned, 760 taken | 25.00 ms (graph, "
             "1024 rows), 900 MiB | 2.00 | - | - |");
}

TEST_F(GpuReport, SaysWhatCaptureCostsAndQuotesTheCeilings) {
  write("cuda_ops.json",
        program(benchmark("attention_backward/bf16/785/1", 100, "us", R"(, "FLOP/s": 1e14)") + "," +
                benchmark("attention_backward_capture/bf16/785/1", 107, "us", "") + "," +
                benchmark("gelu/bf16/785", 2000, "ns", R"(, "bytes/s": 1.5e12, "share": 0.5)")));
  const std::string report = full();
  expect(report, "| bf16/785/1 | 100.0 | 107.0 | +7.0% |");
  expect(report, "| gelu/bf16/785 | 2.0 | 1.500 TB/s | 0.50 |");
  expect(report, "peak bf16 GFLOP/s: 700000, peak copy GB/s: 3000");
}

TEST_F(GpuReport, SaysWhatATrainingStepReached) {
  write("pretrain.jsonl",
        R"({"model": "s8", "batch": 32, "precision": "bf16", "seconds": 0.125,)"
        R"( "images_per_second": 256.0, "device_mib": 5000.4, "share_of_peak": 0.404})"
        "\n");
  for (const std::string& report : {full(), short_report(folder_.path())}) {
    expect(report, "DINO's step s8, 32 images, bf16");
    expect(report, "125.00 ms   256.0 images/s   5000 MiB, 40% of a large product");
  }
}

TEST_F(GpuReport, SaysWhatIsMissingAndWhatFailed) {
  const std::string nothing = full();
  expect(nothing, "machine unknown");
  expect(nothing, "Explanations were not measured");
  expect(nothing, "Attention was not measured");
  expect(nothing, "cuDNN's own kernels were not measured");
  write("checks.txt", "contract passed\n");
  write("cuda_ops.json", program(R"({"name": "gelu/bf16/785", "error_occurred": true,
                                     "error_message": "out of memory"})"));
  expect(full(), "| gelu/bf16/785: out of memory | failed |");
  const std::string brief = short_report(folder_.path());
  expect(brief, "contract passed");
  expect(brief, "FAILED gelu/bf16/785: out of memory");
}

TEST_F(GpuReport, RefusesWhatIsNoBenchmarkOutput) {
  write("cuda_ops.json", "{");
  EXPECT_ERROR(full(), "cuda_ops.json", "no JSON");
  write("cuda_ops.json", "{}");
  EXPECT_ERROR(full(), "cuda_ops.json", "no benchmarks");
  EXPECT_ERROR(full_report(folder_.path() / "absent"), "absent", "no folder");
}

}  // namespace
}  // namespace vitsnna::bench
