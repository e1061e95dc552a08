#include "harness/plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "harness/input_file.hpp"

namespace wkv {
namespace {

bool chosen(const Options& options, const Variant& variant) {
  const auto& names = options.variants;
  return runs_on(variant.device, options.device) &&
         (names.empty() || std::find(names.begin(), names.end(), variant.name) != names.end());
}

std::vector<const Variant*> chosen_variants(const Options& options, const std::string& op) {
  std::vector<const Variant*> variants = variants_of(op);
  std::erase_if(variants, [&](const Variant* variant) { return !chosen(options, *variant); });
  return variants;
}

void check_device(const Options& options) {
  const auto runs_there = [&](const std::string& op) {
    const auto variants = variants_of(op);
    return std::any_of(variants.begin(), variants.end(),
                       [&](const Variant* variant) { return runs_on(variant->device, options.device); });
  };
  if (std::any_of(options.ops.begin(), options.ops.end(), runs_there)) return;
  throw UsageError(fmt::format("--device {}: this program has no variant of {} for it{}", name_of(options.device),
                               fmt::join(options.ops, ", "),
                               registered_kernels().empty() ? "; it was built without nvcc" : ""));
}

// A name that none of the operators has was surely meant for another.
void check_variants(const Options& options) {
  for (const std::string& name : options.variants) {
    std::vector<std::string> available;
    bool found = false;
    for (const std::string& op : options.ops) {
      for (const Variant* variant : variants_of(op)) {
        if (!runs_on(variant->device, options.device)) continue;
        available.push_back(op + "/" + variant->name);
        found |= variant->name == name;
      }
    }
    if (!found) {
      throw UsageError(fmt::format("--variant: {} is no variant of {} on {}; there are {}", name,
                                   fmt::join(options.ops, ", "), name_of(options.device),
                                   available.empty() ? "none" : fmt::format("{}", fmt::join(available, ", "))));
    }
  }
}

void add_groups_of_file(const Options& options, const Operator& op, std::vector<Group>& groups) {
  InputFile file = [&] {
    try {
      return read_input_file(options.inputs, op.name);
    } catch (const std::runtime_error& error) {
      throw UsageError(error.what());
    }
  }();
  const auto dtypes = options.dtypes_given ? options.dtypes : std::vector{file.problem.dtype};
  for (const DType dtype : dtypes) {
    file.problem.dtype = dtype;
    groups.push_back({&op, file.problem, file.source, chosen_variants(options, op.name)});
  }
}

void add_generated_groups(const Options& options, const Operator& op, uint64_t seed, std::vector<Group>& groups) {
  const InputKind kind = options.inputs == name_of(InputKind::extreme) ? InputKind::extreme : InputKind::realistic;
  const InputSource source = generated_inputs(kind, seed);
  const auto variants = chosen_variants(options, op.name);
  for (const HeadShape& shape : options.shapes) {
    for (const int64_t B : options.batches) {
      for (const Mode mode : options.modes) {
        for (const DType dtype : options.dtypes) {
          for (const int64_t T : options.lengths) {
            const Problem problem{.B = B,
                                  .T = T,
                                  .H = shape.H,
                                  .N = shape.N,
                                  .mode = mode,
                                  .dtype = dtype,
                                  .window = op.windowed ? options.window : std::nullopt};
            groups.push_back({&op, problem, source, variants});
          }
        }
      }
    }
  }
}

}  // namespace

std::vector<Group> make_groups(const Options& options, uint64_t seed) {
  check_device(options);
  check_variants(options);
  std::vector<Group> groups;
  for (const std::string& name : options.ops) {
    const Operator& op = operator_named(name);
    if (options.inputs_from_file()) {
      add_groups_of_file(options, op, groups);
    } else {
      add_generated_groups(options, op, seed, groups);
    }
  }
  return groups;
}

}  // namespace wkv
