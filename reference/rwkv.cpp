#include "reference/rwkv.hpp"

#include <cmath>

#include "reference/wkv5.hpp"

namespace wkv::reference {
namespace {

using Eigen::Index;

Vector normalised(const Vector& x, double epsilon) {
  const Eigen::ArrayXd centred = x.array() - x.mean();
  return centred / std::sqrt(centred.square().mean() + epsilon);
}

Vector sigmoid(const Vector& x) { return 1 / (1 + (-x.array()).exp()); }

Vector mix(const Vector& share, const Vector& x, const Vector& previous) {
  return x.array() * share.array() + previous.array() * (1 - share.array());
}

}  // namespace

Rwkv::Rwkv(const RwkvModel& model) : model_(model) {
  const Index C = vector("ln_out.weight").size();
  const Index heads = model.version == RwkvModel::Version::v4 ? 0 : model.heads;
  for (Index i = 0; i < model.layers; ++i) {
    layers_.push_back({Vector::Zero(C), Vector::Zero(C), empty_wkv4_state(C), {}});
    for (Index h = 0; h < heads; ++h) layers_.back().wkv5.push_back(Matrix::Zero(C / heads, C / heads));
  }
}

Vector Rwkv::forward(Index token) {
  Vector x = layer_norm("blocks.0.ln0", model_.parameter("emb.weight").row(token));
  for (Index i = 0; i < model_.layers; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".";
    Layer& layer = layers_[static_cast<size_t>(i)];
    x += time_mixing(block + "att.", layer_norm(block + "ln1", x), layer);
    x += channel_mixing(block + "ffn.", layer_norm(block + "ln2", x), layer);
  }
  return model_.parameter("head.weight") * layer_norm("ln_out", x);
}

Vector Rwkv::layer_norm(const std::string& name, const Vector& x) const {
  return normalised(x, 1e-5).cwiseProduct(vector(name + ".weight")) + vector(name + ".bias");
}

Vector Rwkv::time_mixing(const std::string& att, const Vector& x, Layer& layer) const {
  const auto project = [&](const std::string& mixed, const std::string& matrix) -> Vector {
    return model_.parameter(att + matrix + ".weight") *
           mix(vector(att + "time_mix_" + mixed), x, layer.time_mixing_input);
  };
  const Vector r = project("r", "receptance"), k = project("k", "key"), v = project("v", "value");
  Vector y;
  if (model_.version == RwkvModel::Version::v4) {
    y = sigmoid(r).cwiseProduct(wkv4(att, k, v, layer));
  } else {
    y = group_norm(att + "ln_x", wkv5(att, r, k, v, layer));
  }
  if (model_.version == RwkvModel::Version::v5_2) {
    const Vector g = project("g", "gate");
    y = y.cwiseProduct(g).cwiseProduct(sigmoid(g));
  }
  layer.time_mixing_input = x;
  return model_.parameter(att + "output.weight") * y;
}

Vector Rwkv::wkv4(const std::string& att, const Vector& k, const Vector& v, Layer& layer) const {
  const Vector w = vector(att + "time_decay").array().exp();
  const Wkv4Result result = reference::wkv4({k.transpose(), v.transpose(), w, vector(att + "time_first"), layer.wkv4});
  layer.wkv4 = result.state;
  return result.y.row(0);
}

Vector Rwkv::wkv5(const std::string& att, const Vector& r, const Vector& k, const Vector& v, Layer& layer) const {
  const bool by_channel = model_.version == RwkvModel::Version::v5_2;
  const Vector decay = vector(att + "time_decay");
  const Vector bonus = by_channel ? vector(att + "time_faaaa") : Vector(vector(att + "time_first").array().exp());
  const Index N = r.size() / model_.heads;
  Vector y(r.size());
  for (Index h = 0; h < model_.heads; ++h) {
    const Vector decay_of_head = by_channel ? Vector(decay.segment(h * N, N)) : Vector::Constant(N, decay[h]);
    const Vector u = by_channel ? Vector(bonus.segment(h * N, N)) : Vector::Constant(N, bonus[h]);
    const Vector w = (-decay_of_head.array().exp()).exp();
    const auto of_head = [&](const Vector& x) -> Matrix { return x.segment(h * N, N).transpose(); };
    Matrix& state = layer.wkv5[static_cast<size_t>(h)];
    const Wkv5Result result = reference::wkv5({of_head(r), of_head(k), of_head(v), w, u, state});
    state = result.state;
    y.segment(h * N, N) = result.y.row(0);
  }
  return y;
}

Vector Rwkv::group_norm(const std::string& name, const Vector& y) const {
  const Index N = y.size() / model_.heads;
  Vector normal(y.size());
  for (Index h = 0; h < model_.heads; ++h) {
    normal.segment(h * N, N) = normalised(y.segment(h * N, N), model_.group_norm_epsilon);
  }
  return normal.cwiseProduct(vector(name + ".weight")) + vector(name + ".bias");
}

Vector Rwkv::channel_mixing(const std::string& ffn, const Vector& x, Layer& layer) const {
  const Vector for_k = mix(vector(ffn + "time_mix_k"), x, layer.channel_mixing_input);
  const Vector for_r = mix(vector(ffn + "time_mix_r"), x, layer.channel_mixing_input);
  layer.channel_mixing_input = x;
  const Vector k = (model_.parameter(ffn + "key.weight") * for_k).cwiseMax(0).cwiseAbs2();
  const Vector r = sigmoid(model_.parameter(ffn + "receptance.weight") * for_r);
  return r.cwiseProduct(model_.parameter(ffn + "value.weight") * k);
}

}  // namespace wkv::reference
