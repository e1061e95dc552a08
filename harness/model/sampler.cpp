#include "harness/model/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace wkv::model {

Sampler::Sampler(double temperature, double top_p, uint64_t seed)
    : temperature_(temperature), top_p_(top_p), random_(seed) {}

Token Sampler::sample(std::span<const float> logits) {
  if (!std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); })) {
    throw std::runtime_error("the model's logits are not finite");
  }
  const auto likeliest = std::max_element(logits.begin(), logits.end());
  if (temperature_ == 0) return static_cast<Token>(likeliest - logits.begin());

  heap_.clear();
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double share = std::exp((logits[i] - *likeliest) / temperature_);
    heap_.emplace_back(share, static_cast<Token>(i));
    sum += share;
  }
  // A heap, as only the few likeliest of a large vocabulary need an order. They gather at its end.
  std::make_heap(heap_.begin(), heap_.end());
  auto end = heap_.end();
  double kept = 0;
  while (end != heap_.begin() && kept < top_p_ * sum) {
    std::pop_heap(heap_.begin(), end);
    kept += (--end)->first;
  }
  double left = std::uniform_real_distribution<double>(0, kept)(random_);
  for (auto candidate = heap_.rbegin(); candidate.base() != end; ++candidate) {
    left -= candidate->first;
    if (left < 0) return candidate->second;
  }
  return heap_.back().second;
}

}  // namespace wkv::model
