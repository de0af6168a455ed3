#include "feed_forward.h"

#include <algorithm>
#include <numeric>

namespace lynceus {
namespace {

// What stands in a tile behind the network's last inner channel counts as zero.
void activate(const Kernels& kernels, const FeedForward& network, int tile, const float* gate, float* up) {
  const int channels = std::min(kTile, network.up->channels - tile * kTile);
  if (network.up_bias != nullptr)
    for (int n = 0; n < channels; ++n) up[n] += network.up_bias[tile * kTile + n];
  if (network.gate != nullptr)
    kernels.swiglu(gate, up, up);
  else
    kernels.quick_gelu(up, up);
  std::fill(up + channels, up + kTile, 0.0f);
}

// A tile of the inner channels, which is one block of the next layer's input.
void inner_tile(const Kernels& kernels, const FeedForward& network, int tile, Activations& input, const int* tokens,
                int count, Activations& inner) {
  WorkerSpace& own = worker_space(count);
  if (network.gate != nullptr)
    multiply_tile(kernels, *network.gate, tile, input, tokens, count, own.scratch, own.gate.data());
  multiply_tile(kernels, *network.up, tile, input, tokens, count, own.scratch, own.up.data());
  for (int i = 0; i < count; ++i) {
    float* up = own.up.data() + size_t(i) * kTile;
    activate(kernels, network, tile, own.gate.data() + size_t(i) * kTile, up);
    kernels.quantize(up, nullptr, inner.values(tokens[i], tile), inner.scale(tokens[i], tile),
                     inner.sums(tokens[i], tile));
  }
}

}  // namespace

void feed_forward(const Kernels& kernels, const Pool& pool, const FeedForward& network, const float* x, int tokens,
                  float* out) {
  static Activations input, inner;  // pools are leased to one operation at a time, and so is its scratch
  static std::vector<int> all;
  input.quantize(kernels, pool, x, tokens, network.up->rows, nullptr);
  inner.resize(tokens, network.down->rows);
  all.resize(tokens);
  std::iota(all.begin(), all.end(), 0);
  const int part = tokens_per_part(tokens), tiles = network.up->tiles();
  pool.run(tiles * ((tokens + part - 1) / part), [&](int task) {
    const int first = task / tiles * part;
    inner_tile(kernels, network, task % tiles, input, all.data() + first, std::min(part, tokens - first), inner);
  });
  multiply(kernels, pool, {{network.down, network.down_bias, out}}, inner);
}

}  // namespace lynceus
