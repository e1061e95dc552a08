// .pth files as torch.save has written them since PyTorch 1.6: a zip file with X/data.pkl, a pickle of a dict of
// tensors, and X/data/KEY, the bytes of each storage that they lie in. Nothing of the pickle is executed.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "harness/stored_tensor.hpp"

namespace wkv::model {

// The tensors of the dict, in the order of their data; other values in it are left out. Where it has none, those of the
// only dict in it that has some ({"model": ..., "epoch": 3}). Their bytes point into the file. Refused are tensors that
// are not contiguous or overlap (of tied weights too, which no RWKV model has). Throws std::runtime_error saying what
// is wrong where, without the file's name.
std::vector<StoredTensor> read_pth(std::span<const std::byte> file);

using Storages = std::map<std::string_view, std::span<const std::byte>>;  // by key

// The same from the pickle, which begins at `offset` of its file.
std::vector<StoredTensor> read_state_dict(std::span<const std::byte> pickle, size_t offset, const Storages& storages);

}  // namespace wkv::model
