#include "harness/model/mixer_dump.hpp"

#include <cstring>

#include "harness/safetensors.hpp"

namespace wkv::model {
namespace {

// Tensors with memory of their own.
class Dump {
 public:
  void add(const TensorSpec& spec, const std::byte* data) {
    StoredTensor& tensor = tensors_.emplace_back();
    tensor.name = spec.name;
    tensor.type = spec.dtype == DType::f32 ? StoredType::f32 : StoredType::bf16;
    for (const Dim& dim : spec.dims) tensor.shape.push_back(dim.size);
    contents_.emplace_back(data, data + spec.bytes());
  }
  // In the place of the latest one's values.
  float* floats() { return reinterpret_cast<float*>(contents_.back().data()); }
  void rename(const std::string& name) { tensors_.back().name = name; }

  void write(const std::filesystem::path& path) {
    for (size_t i = 0; i < tensors_.size(); ++i) tensors_[i].bytes = contents_[i];
    write_safetensors(path, tensors_);
  }

 private:
  std::vector<StoredTensor> tensors_;
  std::vector<std::vector<std::byte>> contents_;
};

}  // namespace

void dump_mixer(LanguageModel& model, std::span<const Token> tokens, int64_t layer, const std::filesystem::path& path) {
  const auto op = mixing_operator(model.config().architecture);
  const bool is_wkv5 = op == "wkv5";
  const std::string decay = "blocks." + std::to_string(layer) + ".att.time_decay";
  Dump dump;
  model.engine().observe_mixer([&](int64_t this_layer, const Problem& problem, const TensorAddresses& tensors) {
    if (this_layer != layer) return;
    for (const TensorSpec& spec : operator_named(op).tensors(problem)) {
      dump.add(spec, tensors.data(spec.name));
      if (!is_wkv5 || spec.name != "w") continue;
      dump.rename("decay");
      const float* parameter = model.parameters().floats(decay);
      const bool by_channel = model.config().architecture == Architecture::rwkv5_2;
      for (int64_t c = 0; c < model.config().channels; ++c) {
        dump.floats()[c] = parameter[by_channel ? c : c / model.config().head_size];
      }
    }
  });
  model.set_piece_tokens(static_cast<int64_t>(tokens.size()));
  ModelState state = model.initial_state();
  std::vector<float> logits(static_cast<size_t>(model.config().vocabulary));
  model.forward(tokens, state, logits);
  model.engine().observe_mixer(nullptr);
  model.set_piece_tokens(LanguageModel::kPieceTokens);
  dump.write(path);
}

}  // namespace wkv::model
