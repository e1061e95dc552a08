// The tensors of one layer's sequence mixer in a running model, as a file for bench_wkv --inputs.
#pragma once

#include <filesystem>
#include <span>

#include "harness/model/language_model.hpp"

namespace wkv::model {

// Runs the tokens at once from the initial state. Inputs and outputs are named as the operator declares them; a decay w
// of WKV5 is stored as the parameter that it comes from, decay = log(-log(w)).
void dump_mixer(LanguageModel& model, std::span<const Token> tokens, int64_t layer, const std::filesystem::path& path);

}  // namespace wkv::model
