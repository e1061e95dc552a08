#include "harness/model/pickle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>

#include "harness/stored_tensor.hpp"

namespace wkv::model {
namespace {

// Far more than the some twenty values a tensor of any model's checkpoint.
constexpr size_t kMaxValues = size_t{1} << 20;
constexpr std::string_view kOrderedDict = "collections.OrderedDict";

enum Opcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kEmptyDict = '}',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kEmptyTuple = ')',
  kSetItems = 'u',
  kBinFloat = 'G',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

class Machine {
 public:
  Machine(std::span<const std::byte> pickle, size_t offset, std::span<const AllowedGlobal> globals)
      : pickle_(pickle), offset_(offset), globals_(globals) {}

  Pickle run() {
    if (opcode() != kProto) fail("a pickle of protocol 2 to 5 does not begin here");
    if (const auto version = number<uint8_t>(); version < 2 || version > 5) {
      fail("the pickle's protocol is {}, not 2 to 5", version);
    }
    for (uint8_t next = opcode(); next != kStop; next = opcode()) step(next);
    if (stack_.size() != 1 || !marks_.empty()) fail("the pickle ends with {} values, not with one", stack_.size());
    if (at_ != pickle_.size()) fail("the pickle goes on after its end");
    result_.root = stack_.front();
    return std::move(result_);
  }

 private:
  template <class... Arguments>
  [[noreturn]] void fail(fmt::format_string<Arguments...> format, Arguments&&... arguments) const {
    throw std::runtime_error(
        fmt::format("byte {}: {}", offset_ + opcode_at_, fmt::format(format, std::forward<Arguments>(arguments)...)));
  }

  // Reading.
  std::string_view take(uint64_t count) {
    if (count > pickle_.size() - at_) {
      fail("the pickle ends at {}, before what begins here", offset_ + pickle_.size());
    }
    const auto bytes = pickle_.subspan(at_, count);
    at_ += count;
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  template <class Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof(value)).data(), sizeof(value));
    return value;
  }
  uint8_t opcode() {
    opcode_at_ = at_;
    return number<uint8_t>();
  }
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(pickle_.data()) + at_, pickle_.size() - at_);
    const size_t length = rest.find('\n');
    if (length == std::string_view::npos) fail("the pickle ends at {}, inside a name", offset_ + pickle_.size());
    return take(length + 1).substr(0, length);
  }

  // The stack. What was pushed before the last mark is out of reach.
  void push(PickleId id) {
    if (stack_.size() == kMaxValues) fail("the pickle has more than {} values on its stack", kMaxValues);
    stack_.push_back(id);
  }
  template <class Content>
  void push_new(Content content) {
    if (result_.values.size() == kMaxValues) fail("the pickle makes more than {} values", kMaxValues);
    result_.values.push_back({offset_ + opcode_at_, content});
    push(static_cast<PickleId>(result_.values.size() - 1));
  }
  void push_long() {  // two's complement, of any length
    const std::string_view bytes = take(number<uint8_t>());
    if (bytes.size() > sizeof(int64_t)) return push_new(PickleLargeInteger{});
    uint64_t value = !bytes.empty() && static_cast<int8_t>(bytes.back()) < 0 ? UINT64_MAX : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push_new(static_cast<int64_t>(value));
  }
  size_t bottom() const { return marks_.empty() ? 0 : marks_.back(); }
  void need(size_t count) const {
    if (stack_.size() - bottom() < count) fail("the pickle takes a value that is not there");
  }
  PickleId top() const {
    need(1);
    return stack_.back();
  }
  PickleId pop() {
    const PickleId id = top();
    stack_.pop_back();
    return id;
  }
  size_t pop_mark() {  // where what came after it begins
    if (marks_.empty()) fail("the pickle takes a mark that is not there");
    const size_t begin = marks_.back();
    marks_.pop_back();
    return begin;
  }
  template <class Content>
  Content expect(PickleId id, const char* what) const {
    const Content* content = result_.get_if<Content>(id);
    if (content == nullptr) fail("the pickle needs {} here", what);
    return *content;
  }

  void push_tuple(size_t begin) {
    const PickleTuple tuple{static_cast<uint32_t>(result_.elements.size()),
                            static_cast<uint32_t>(stack_.size() - begin)};
    // Numbers of elements are 32 bits wide; no pickle within the other limits but one of many GB comes near.
    if (result_.elements.size() + tuple.count > UINT32_MAX) fail("the pickle's tuples are too large");
    result_.elements.insert(result_.elements.end(), stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    push_new(tuple);
  }
  void push_tuple_of(size_t count) {
    need(count);
    push_tuple(stack_.size() - count);
  }
  void push_dict() {
    result_.dicts.emplace_back();
    push_new(PickleDict{static_cast<uint32_t>(result_.dicts.size() - 1)});
  }
  void set_items(size_t begin) {
    if ((stack_.size() - begin) % 2 != 0) fail("the pickle gives a dict a key without a value");
    std::vector<PickleId> items(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    auto& dict = result_.dicts[expect<PickleDict>(top(), "a dict").index];
    for (size_t i = 0; i < items.size(); i += 2) dict.emplace_back(items[i], items[i + 1]);
  }
  void append(size_t begin) {
    stack_.resize(begin);
    expect<PickleList>(top(), "a list");
  }

  // The memo is filled in order, as Python's pickler does.
  void memoize(uint64_t index) {
    if (index > memo_.size() || index >= kMaxValues) fail("the pickle's memo jumps to {}", index);
    const PickleId id = top();
    if (index == memo_.size()) memo_.push_back(id);
    memo_[index] = id;
  }
  void recall(uint64_t index) {
    if (index >= memo_.size()) fail("the pickle's memo has no value {}", index);
    push(memo_[index]);
  }

  void push_global(std::string_view module, std::string_view name) {
    const auto found = std::find_if(globals_.begin(), globals_.end(), [&](const AllowedGlobal& global) {
      return global.name.size() == module.size() + 1 + name.size() && global.name.starts_with(module) &&
             global.name[module.size()] == '.' && global.name.ends_with(name);
    });
    if (found == globals_.end()) {
      fail("{} is refused: a checkpoint is made of tensors and plain containers only; save the state dict alone",
           in_quotes(fmt::format("{}.{}", module, name)));
    }
    push_new(PickleGlobal{found->name});
  }

  void reduce() {
    const PickleId arguments = pop();
    const auto tuple = expect<PickleTuple>(arguments, "a tuple of arguments");
    const auto global = expect<PickleGlobal>(pop(), "something to call");
    const auto allowed = std::find_if(globals_.begin(), globals_.end(),
                                      [&](const AllowedGlobal& entry) { return entry.name == global.name; });
    if (!allowed->callable) fail("{} is not called in a checkpoint", global.name);
    if (global.name != kOrderedDict) return push_new(PickleCall{global.name, arguments});
    if (tuple.count != 0) fail("{} has arguments", global.name);
    push_dict();
  }

  void step(uint8_t code) {
    switch (code) {
      case kMark:
        if (marks_.size() == kMaxValues) fail("the pickle has more than {} marks", kMaxValues);
        return marks_.push_back(stack_.size());
      case kFrame:
        // Its end has no meaning here, as it has none for a reader that has the whole pickle.
        return static_cast<void>(number<uint64_t>());
      case kNone:
        return push_new(PickleNone{});
      case kNewTrue:
      case kNewFalse:
        return push_new(code == kNewTrue);
      case kBinInt:
        return push_new(int64_t{number<int32_t>()});
      case kBinInt1:
        return push_new(int64_t{number<uint8_t>()});
      case kBinInt2:
        return push_new(int64_t{number<uint16_t>()});
      case kLong1:
        return push_long();
      case kBinFloat:
        return push_new(std::bit_cast<double>(__builtin_bswap64(number<uint64_t>())));
      case kShortBinUnicode:
        return push_new(take(number<uint8_t>()));
      case kBinUnicode:
        return push_new(take(number<uint32_t>()));
      case kBinUnicode8:
        return push_new(take(number<uint64_t>()));
      default:
        return step_of_containers(code);
    }
  }

  void step_of_containers(uint8_t code) {
    switch (code) {
      case kEmptyTuple:
        return push_tuple(stack_.size());
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return push_tuple_of(code - kTuple1 + size_t{1});
      case kTuple:
        return push_tuple(pop_mark());
      case kEmptyList:
        return push_new(PickleList{});
      case kAppend:
        need(2);
        return append(stack_.size() - 1);
      case kAppends:
        return append(pop_mark());
      case kEmptyDict:
        return push_dict();
      case kSetItem:
        need(3);
        return set_items(stack_.size() - 2);
      case kSetItems:
        return set_items(pop_mark());
      default:
        return step_of_objects(code);
    }
  }

  void step_of_objects(uint8_t code) {
    switch (code) {
      case kBinPut:
        return memoize(number<uint8_t>());
      case kLongBinPut:
        return memoize(number<uint32_t>());
      case kMemoize:
        return memoize(memo_.size());
      case kBinGet:
        return recall(number<uint8_t>());
      case kLongBinGet:
        return recall(number<uint32_t>());
      case kGlobal: {
        const std::string_view module = line();
        return push_global(module, line());
      }
      case kStackGlobal: {
        const auto name = expect<std::string_view>(pop(), "a name");
        return push_global(expect<std::string_view>(pop(), "a module's name"), name);
      }
      case kBinPersId:
        return push_new(PicklePersistent{pop()});
      case kReduce:
        return reduce();
      case kBuild:  // attributes of an OrderedDict, such as a state dict's _metadata, are dropped
        pop();
        return static_cast<void>(expect<PickleDict>(top(), "a dict whose attributes are set"));
      default:
        fail("opcode {:#04x} is none that torch.save uses for tensors and plain containers", code);
    }
  }

  std::span<const std::byte> pickle_;
  size_t offset_;
  std::span<const AllowedGlobal> globals_;
  size_t at_ = 0, opcode_at_ = 0;
  std::vector<PickleId> stack_, memo_;
  std::vector<size_t> marks_;
  Pickle result_;
};

}  // namespace

Pickle read_pickle(std::span<const std::byte> pickle, size_t offset, std::span<const AllowedGlobal> globals) {
  return Machine(pickle, offset, globals).run();
}

}  // namespace wkv::model
