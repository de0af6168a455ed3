#include "experts.h"

#include <algorithm>

namespace lynceus {
namespace {

constexpr int kMostTokens = 1024;  // of one pass, which bounds the memory of results that wait to be added up

// Consecutive pairs of one expert, few enough for a worker's cache.
struct Segment {
  int expert;
  int first;
  int count;
};

// The pairs (token, one of its experts) sorted by expert.
struct Plan {
  std::vector<Segment> segments;
  std::vector<int> tokens;     // [pairs], the token of each
  std::vector<int> all;        // [pairs], 0, 1, 2...: what names a pair's own row
  std::vector<int> positions;  // [T][K], where a token's pairs stand, ascending
  std::vector<float> weights;  // [pairs]

  void make(const Routed& routed, int experts) {
    const int pairs = routed.tokens * routed.top_k;
    std::vector<int> begin(experts + 1);
    for (int i = 0; i < pairs; ++i) ++begin[routed.experts[i] + 1];
    for (int e = 0; e < experts; ++e) begin[e + 1] += begin[e];
    cut(begin);
    tokens.resize(pairs);
    all.resize(pairs);
    positions.resize(pairs);
    weights.resize(pairs);
    for (int i = 0; i < pairs; ++i) {
      const int at = begin[routed.experts[i]]++;
      tokens[at] = i / routed.top_k;
      weights[at] = routed.weights[i];
      positions[i] = at;
      all[i] = i;
    }
    for (int t = 0; t < routed.tokens; ++t)
      std::sort(positions.begin() + t * routed.top_k, positions.begin() + (t + 1) * routed.top_k);
  }

 private:
  void cut(const std::vector<int>& begin) {
    segments.clear();
    for (size_t e = 0; e + 1 < begin.size(); ++e) {
      const int count = begin[e + 1] - begin[e];
      for (int done = 0, part = tokens_per_part(count); done < count; done += part)
        segments.push_back({static_cast<int>(e), begin[e] + done, std::min(part, count - done)});
    }
  }
};

// The memory of a pass; pools are leased to one operation at a time, and so is this.
struct Workspace {
  Plan plan;
  Activations input, inner;
  std::vector<float> results;  // [pairs][H]
};

// Gate, up and SwiGLU of kTile inner channels, which are one block of the down projection: rotated and quantized here.
void gate_and_up(const Kernels& kernels, const Experts& experts, Workspace& work, const Segment& part, int tile) {
  WorkerSpace& own = worker_space(part.count);
  const Matrix& matrix = experts.gate_up[part.expert];
  const int* tokens = work.plan.tokens.data() + part.first;
  multiply_tile(kernels, matrix, tile, work.input, tokens, part.count, own.scratch, own.gate.data());
  multiply_tile(kernels, matrix, tile + experts.size() / kTile, work.input, tokens, part.count, own.scratch,
                own.up.data());
  for (int i = 0; i < part.count; ++i) {
    float* gate = own.gate.data() + size_t(i) * kTile;
    kernels.swiglu(gate, own.up.data() + size_t(i) * kTile, gate);
    const int pair = part.first + i;
    kernels.quantize(gate, experts.down_signs + tile * kBlock, work.inner.values(pair, tile),
                     work.inner.scale(pair, tile), work.inner.sums(pair, tile));
  }
}

void down(const Kernels& kernels, const Experts& experts, Workspace& work, const Segment& part, int tile) {
  WorkerSpace& own = worker_space(part.count);
  const int* pairs = work.plan.all.data() + part.first;
  multiply_tile(kernels, experts.down[part.expert], tile, work.inner, pairs, part.count, own.scratch,
                own.gate.data());
  for (int i = 0; i < part.count; ++i)
    std::copy_n(own.gate.data() + size_t(i) * kTile, kTile,
                work.results.data() + size_t(part.first + i) * experts.hidden() + tile * kTile);
}

void combine(const Workspace& work, int hidden, int token, int top_k, float* out) {
  std::fill_n(out, hidden, 0.0f);
  for (int k = 0; k < top_k; ++k) {
    const int pair = work.plan.positions[token * top_k + k];
    const float weight = work.plan.weights[pair];
    const float* from = work.results.data() + size_t(pair) * hidden;
    for (int n = 0; n < hidden; ++n) out[n] = out[n] + from[n] * weight;
  }
}

void run_some(const Kernels& kernels, const Pool& pool, const Experts& experts, const Routed& routed, const float* x,
              float* out) {
  static Workspace work;
  const int pairs = routed.tokens * routed.top_k, hidden = experts.hidden(), size = experts.size();
  work.plan.make(routed, static_cast<int>(experts.down.size()));
  work.input.quantize(kernels, pool, x, routed.tokens, hidden, experts.signs);
  work.inner.resize(pairs, size);
  work.results.resize(std::max(work.results.size(), size_t(pairs) * hidden));
  const auto& segments = work.plan.segments;
  const auto each = [&](int tiles, auto step) {
    pool.run(static_cast<int>(segments.size()) * tiles,
             [&](int task) { step(kernels, experts, work, segments[task / tiles], task % tiles); });
  };
  each(size / kTile, gate_and_up);
  each(hidden / kTile, down);
  constexpr int kTokensPerTask = 8;
  pool.run((routed.tokens + kTokensPerTask - 1) / kTokensPerTask, [&](int task) {
    const int end = std::min(routed.tokens, (task + 1) * kTokensPerTask);
    for (int t = task * kTokensPerTask; t < end; ++t) combine(work, hidden, t, routed.top_k, out + size_t(t) * hidden);
  });
}

}  // namespace

void run_experts(const Kernels& kernels, const Pool& pool, const Experts& experts, const Routed& routed, const float* x,
                 float* out) {
  const int hidden = experts.hidden();
  for (int first = 0; first < routed.tokens; first += kMostTokens) {
    const int count = std::min(kMostTokens, routed.tokens - first);
    const size_t pairs = size_t(first) * routed.top_k;
    const Routed some{routed.experts + pairs, routed.weights + pairs, count, routed.top_k};
    run_some(kernels, pool, experts, some, x + size_t(first) * hidden, out + size_t(first) * hidden);
  }
}

}  // namespace lynceus
