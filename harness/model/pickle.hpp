// A pickle of plain containers and of calls that are named but never made (Python's pickletools.py describes the
// opcodes). It knows those that torch.save emits, in protocols 2 to 5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace wkv::model {

// Values refer to each other by number, not by pointer: nothing recurses, however deeply they are nested.
using PickleId = uint32_t;

struct PickleNone {};
struct PickleLargeInteger {};  // of more than 64 bits, such as a seed; its value is dropped
struct PickleTuple {
  uint32_t begin, count;  // of Pickle::elements
};
struct PickleList {};  // what it holds is dropped
struct PickleDict {
  uint32_t index;  // of Pickle::dicts; a collections.OrderedDict too
};
struct PickleGlobal {
  std::string_view name;  // "torch.FloatStorage"
};
struct PickleCall {
  std::string_view global;
  PickleId arguments;  // a tuple
};
struct PicklePersistent {  // what the pickler kept elsewhere: a storage
  PickleId id;
};

struct PickleValue {
  size_t offset;  // of the opcode that made it, in the file
  std::variant<PickleNone, bool, int64_t, PickleLargeInteger, double, std::string_view, PickleTuple, PickleList,
               PickleDict, PickleGlobal, PickleCall, PicklePersistent>
      content;
};

struct Pickle {
  std::vector<PickleValue> values;
  std::vector<PickleId> elements;
  std::vector<std::vector<std::pair<PickleId, PickleId>>> dicts;  // keys and values, a key maybe more than once
  PickleId root = 0;

  template <class Content>
  const Content* get_if(PickleId id) const {
    return std::get_if<Content>(&values[id].content);
  }
  std::span<const PickleId> elements_of(PickleTuple tuple) const {
    return std::span(elements).subspan(tuple.begin, tuple.count);
  }
};

struct AllowedGlobal {
  std::string_view name;
  bool callable;
};

// The pickle begins at `offset` of its file; strings of the result point into it, names of globals into `globals`.
// Memory is bounded by a small multiple of the pickle's size.
// Throws std::runtime_error saying what is wrong where, without the file's name; above all for any other global.
Pickle read_pickle(std::span<const std::byte> pickle, size_t offset, std::span<const AllowedGlobal> globals);

}  // namespace wkv::model
