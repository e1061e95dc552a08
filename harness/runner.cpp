#include "harness/runner.hpp"

namespace wkv {
namespace {

class CpuRunner final : public Runner {
 public:
  CpuRunner(const Variant& variant, const Workload& workload, Executor& executor)
      : variant_(variant), workload_(workload), executor_(executor) {
    executor_.release_scratch();
  }

  const Variant& variant() const override { return variant_; }
  void upload(int) override {}
  void run(int set) override { variant_.run(workload_.set(set), workload_.problem(), executor_); }
  std::optional<double> timed_run(int set) override {
    run(set);
    return std::nullopt;
  }
  void download(int) override {}
  size_t peak_extra_bytes() const override { return executor_.peak_scratch_bytes(); }

 private:
  const Variant& variant_;
  const Workload& workload_;
  Executor& executor_;
};

}  // namespace

std::unique_ptr<Runner> make_runner(const Variant& variant, const Workload& workload, Executor& executor) {
  return std::make_unique<CpuRunner>(variant, workload, executor);
}

}  // namespace wkv
