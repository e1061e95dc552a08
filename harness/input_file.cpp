#include "harness/input_file.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "harness/safetensors.hpp"

namespace wkv {
namespace {

constexpr std::string_view kDecay = "decay";
constexpr double kLargest = 0x1.fep+127;  // of bf16, so that an input can be rounded to any dtype

std::string stored_name(const TensorSpec& spec) {
  return std::string(spec.values == Values::decay ? kDecay : std::string_view(spec.name));
}

bool has_axis(const TensorSpec& spec, Axis axis) {
  return std::any_of(spec.dims.begin(), spec.dims.end(), [&](const Dim& dim) { return dim.axis == axis; });
}

// Of the sequence itself; what it starts from or is weighted with is fp32.
bool is_sequence(const TensorSpec& spec) { return has_axis(spec, Axis::time); }

// A state that each batch entry starts from: not a sequence and not a parameter.
bool is_initial_state(const TensorSpec& spec) {
  return spec.role == Role::input && has_axis(spec, Axis::batch) && !is_sequence(spec);
}

// The file's tensors, as values of the operator's, for the one problem that they are of.
struct Contents {
  std::string file;
  const Operator* op;
  Problem problem;
  std::map<std::string, std::vector<float>, std::less<>> inputs;
  std::map<std::string, std::vector<double>, std::less<>> outputs;
  std::map<std::string, double, std::less<>> output_roundoff;  // of the type that an output is stored in

  // Set 0 of each dtype, for `given`, which several threads may ask.
  std::mutex mutex;
  std::map<DType, TensorSet> own_sets;
};

class Reader {
 public:
  Reader(const std::filesystem::path& path, std::string_view op)
      : file_(path), contents_(std::make_shared<Contents>()) {
    contents_->file = path.filename().string();
    contents_->op = &operator_named(op);
  }

  std::shared_ptr<Contents> read() {
    contents_->problem = problem();
    const std::vector<TensorSpec> specs = contents_->op->tensors(contents_->problem);
    refuse_unknown(specs);
    for (const TensorSpec& spec : specs) {
      if (spec.role == Role::output) {
        if (file_.find(spec.name) != nullptr) read_output(spec);
      } else if (file_.find(stored_name(spec)) != nullptr || !is_initial_state(spec)) {
        read_input(spec);
      } else {
        contents_->inputs[spec.name].assign(static_cast<size_t>(spec.elements()), 0.0f);
      }
    }
    return contents_;
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw std::runtime_error(fmt::format("cannot read {}: {}", file_.path().string(), message));
  }

  // From the first sequence that the operator declares: its dimensions are B, T, H and N, or B, T and C, one head then.
  Problem problem() const {
    const std::vector<TensorSpec> specs = contents_->op->tensors(Problem{});
    const auto sequence = std::find_if(specs.begin(), specs.end(), is_sequence);
    const StoredTensor& stored = file_.tensor(stored_name(*sequence));
    if (stored.shape.size() != sequence->dims.size()) {
      fail(fmt::format("tensor {} has shape {}, not {}", in_quotes(stored.name), to_string(stored.shape),
                       contents_->op->heads_apart ? "(B, T, H, N)" : "(B, T, C)"));
    }
    Problem problem{.H = 1, .dtype = stored.type == StoredType::bf16 ? DType::bf16 : DType::f32};
    for (size_t d = 0; d < stored.shape.size(); ++d) {
      if (stored.shape[d] == 0) {
        fail(fmt::format("tensor {} of shape {} is empty", in_quotes(stored.name), to_string(stored.shape)));
      }
      switch (sequence->dims[d].axis) {
        case Axis::batch:
          problem.B = stored.shape[d];
          break;
        case Axis::time:
          problem.T = stored.shape[d];
          break;
        case Axis::head:
          problem.H = stored.shape[d];
          break;
        case Axis::channel:
          problem.N = stored.shape[d];
          break;
      }
    }
    return problem;
  }

  void refuse_unknown(const std::vector<TensorSpec>& specs) const {
    std::vector<std::string> known;
    for (const TensorSpec& spec : specs) known.push_back(stored_name(spec));
    for (const StoredTensor& stored : file_.tensors()) {
      if (std::find(known.begin(), known.end(), stored.name) == known.end()) {
        fail(fmt::format("tensor {} is none of {}'s: {}", in_quotes(stored.name), contents_->op->name,
                         fmt::join(known, ", ")));
      }
    }
  }

  // The shape is compared before anything of the size that the operator wants is allocated.
  const StoredTensor& checked(const TensorSpec& spec) const {
    const StoredTensor& stored = file_.tensor(stored_name(spec));
    std::vector<int64_t> shape;
    for (const Dim& dim : spec.dims) shape.push_back(dim.size);
    if (stored.shape != shape) {
      fail(fmt::format("tensor {} has shape {} but {} is needed", in_quotes(stored.name), to_string(stored.shape),
                       to_string(shape)));
    }
    if (!is_floating(stored.type)) {
      fail(fmt::format("tensor {} is {}, not a floating-point type", in_quotes(stored.name), name_of(stored.type)));
    }
    return stored;
  }

  std::vector<double> finite(const StoredTensor& stored) const {
    std::vector<double> values = file_.doubles(stored.name);
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::abs(values[i]) <= kLargest) continue;
      std::vector<int64_t> index(stored.shape.size());
      auto rest = static_cast<int64_t>(i);
      for (size_t d = index.size(); d-- > 0; rest /= stored.shape[d]) index[d] = rest % stored.shape[d];
      fail(fmt::format("tensor {} holds {} at {}, not a finite number of {}'s range", in_quotes(stored.name), values[i],
                       to_string(index), name_of(DType::bf16)));
    }
    return values;
  }

  void read_input(const TensorSpec& spec) {
    std::vector<float>& input = contents_->inputs[spec.name];
    for (const double value : finite(checked(spec))) {
      input.push_back(static_cast<float>(spec.values == Values::decay ? std::exp(-std::exp(value)) : value));
    }
  }

  void read_output(const TensorSpec& spec) {
    const StoredTensor& stored = checked(spec);
    contents_->outputs[spec.name] = finite(stored);
    contents_->output_roundoff[spec.name] = stored.type == StoredType::bf16  ? unit_roundoff(DType::bf16)
                                            : stored.type == StoredType::f16 ? 0x1p-11
                                                                             : unit_roundoff(DType::f32);
  }

  SafetensorsFile file_;
  std::shared_ptr<Contents> contents_;
};

// The offset of the element whose position along each axis is `places` further on, and round.
class Rotation {
 public:
  Rotation(const std::vector<Dim>& dims, int places) : dims_(dims), places_(places) {}

  int64_t operator()(int64_t offset) const {
    int64_t rotated = 0, stride = 1;
    for (size_t d = dims_.size(); d-- > 0;) {
      const int64_t size = dims_[d].size;
      rotated += (offset % size + places_) % size * stride;
      offset /= size;
      stride *= size;
    }
    return rotated;
  }

 private:
  const std::vector<Dim>& dims_;
  int64_t places_;
};

void fill(const Contents& contents, const TensorSet& set, int index) {
  for (const TensorSpec& spec : set.specs()) {
    if (spec.role == Role::output) continue;
    const auto found = contents.inputs.find(spec.name);
    if (found == contents.inputs.end() || std::ssize(found->second) != spec.elements()) {
      throw std::runtime_error(
          fmt::format("{} holds inputs of {} {} only", contents.file, contents.op->name, to_string(contents.problem)));
    }
    const Rotation rotation(spec.dims, index);
    for (int64_t i = 0; i < spec.elements(); ++i) {
      const float value = found->second[static_cast<size_t>(rotation(i))];
      if (spec.dtype == DType::f32) {
        set.as<float>(spec.name)[i] = value;
      } else {
        set.as<BFloat16>(spec.name)[i] = BFloat16(value);
      }
    }
  }
}

// Set 0, kept from slice to slice.
const TensorSet& own_set(Contents& contents, const Problem& problem) {
  const std::scoped_lock lock(contents.mutex);
  auto found = contents.own_sets.find(problem.dtype);
  if (found == contents.own_sets.end()) {
    TensorSet set(contents.op->tensors(problem));
    fill(contents, set, 0);
    found = contents.own_sets.emplace(problem.dtype, std::move(set)).first;
  }
  return found->second;
}

// How many times a decay of this slice multiplies what stays of a token: 1 / (1 - w), at most all tokens.
double decayed_tokens(const TensorSet& set, const Problem& problem, const Slice& slice) {
  double most = 0;
  for (const TensorSpec& spec : set.specs()) {
    if (spec.values != Values::decay) continue;
    for (const double w : read_slice(set, spec.name, slice.batch, slice.head)) {
      const auto tokens = static_cast<double>(problem.new_tokens());
      most = std::max(most, w < 1 ? std::min(tokens, 1 / (1 - w)) : tokens);
    }
  }
  return most;
}

// Values from the file; how far a variant may be from them follows from the reference's scale and growth, which say
// what the variant rounds. Whoever wrote the file rounded too: as much again while computing, and the result to the
// type in which it is stored. Their w is not the fp32 one that the variant gets: an error of a roundoff that enters a
// product anew with each token that decays it. And where the problem rounds the file's inputs to its dtype, the factors
// of products are rounded as by a variant that does so itself.
std::vector<ExpectedOutput> given(Contents& contents, const Problem& problem, const Slice& slice) {
  const TensorSet& set = own_set(contents, problem);
  const double unit = unit_roundoff(DType::f32);
  std::vector<ExpectedOutput> outputs;
  for (ExpectedOutput& output : contents.op->reference(set, problem, slice)) {
    const auto found = contents.outputs.find(output.tensor);
    if (found == contents.outputs.end()) continue;
    output.value.clear();
    for (const int64_t offset : slice_offsets(set.spec(output.tensor), slice)) {
      output.value.push_back(found->second[static_cast<size_t>(offset)]);
    }
    output.growth += output.growth + contents.output_roundoff.at(output.tensor) / unit;
    output.growth += decayed_tokens(set, problem, slice);
    if (problem.dtype != contents.problem.dtype) {
      output.growth += output.factor_growth * unit_roundoff(problem.dtype) / unit;
    }
    outputs.push_back(std::move(output));
  }
  return outputs;
}

}  // namespace

InputFile read_input_file(const std::filesystem::path& path, std::string_view op) {
  const std::shared_ptr<Contents> contents = Reader(path, op).read();
  return {.problem = contents->problem,
          .source = {.name = contents->file,
                     .fill = [contents](const TensorSet& set, int index, Executor&) { fill(*contents, set, index); },
                     .given = [contents](const Problem& problem,
                                         const Slice& slice) { return given(*contents, problem, slice); }}};
}

}  // namespace wkv
