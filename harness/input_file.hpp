// Inputs from a .safetensors file, such as a trained model's: `--inputs FILE`.
// The file names its tensors as the operator declares them (wkv5: r, k, v, u), but for a decay w, which is stored as
// the learned parameter "decay", w = exp(-exp(decay)). An initial state may be left out: it is zero then. Outputs
// (wkv5: y, state_out) that the file has too are compared with every variant besides the reference.
#pragma once

#include <filesystem>
#include <string_view>

#include "harness/problem.hpp"
#include "harness/workload.hpp"

namespace wkv {

struct InputFile {
  Problem problem;  // prefill, with the shape of the file's tensors; bf16 if its sequences are stored so, else f32
  // Set 0 is the file's own inputs. Set i is the same with every axis of every tensor rotated by i places: other tokens
  // follow one another in other heads and channels, but all values are still the model's.
  InputSource source;
};

// Throws std::runtime_error with one line for the user.
InputFile read_input_file(const std::filesystem::path& path, std::string_view op);

}  // namespace wkv
