// RWKV language models of versions 4 (Peng et al., arXiv:2305.13048) and 5 (Eagle, arXiv:2404.05892) in double
// precision, one token after the other. A block is x += time_mixing(LN1 x); x += channel_mixing(LN2 x).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "reference/matrix.hpp"
#include "reference/wkv4.hpp"

namespace wkv::reference {

struct RwkvModel {
  enum class Version { v4, v5_1, v5_2 };  // v5_1: 5.0 too; one decay and bonus a head, and no gate

  Version version = Version::v5_2;
  Eigen::Index layers = 0;
  Eigen::Index heads = 0;             // of version 5
  double group_norm_epsilon = 64e-5;  // of version 5
  // By the names of BlinkDL's checkpoints, as stored there; a vector is a row.
  std::function<Matrix(const std::string& name)> parameter;
};

class Rwkv {
 public:
  explicit Rwkv(const RwkvModel& model);

  // The logits after one more token.
  Vector forward(Eigen::Index token);

 private:
  struct Layer {
    Vector time_mixing_input, channel_mixing_input;  // of the token before
    Wkv4State wkv4;
    std::vector<Matrix> wkv5;  // of each head, key channel by value channel
  };
  Vector layer_norm(const std::string& name, const Vector& x) const;
  Vector time_mixing(const std::string& att, const Vector& x, Layer& layer) const;
  Vector wkv4(const std::string& att, const Vector& k, const Vector& v, Layer& layer) const;
  Vector wkv5(const std::string& att, const Vector& r, const Vector& k, const Vector& v, Layer& layer) const;
  Vector group_norm(const std::string& name, const Vector& y) const;
  Vector channel_mixing(const std::string& ffn, const Vector& x, Layer& layer) const;
  Vector vector(const std::string& name) const { return model_.parameter(name).reshaped<Eigen::RowMajor>(); }

  RwkvModel model_;
  std::vector<Layer> layers_;
};

}  // namespace wkv::reference
