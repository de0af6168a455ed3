// Sorts the pairs of a token and an expert by expert, and cuts each expert's pairs into blocks. One thread block, and
// arrays of a fixed size, so that a graph can hold it.
#include <intrinsics.cuh>

namespace lynceus {

constexpr int kExperts = EXPERTS;

// counts [warps][kExperts]: pairs of a warp's share; later where its next pair of that expert goes.
struct Work {
  int* counts;
  int* begins;        // [kExperts], the first place of each expert
  int* block_begins;  // [kExperts], its first block
};

struct Span {
  int first;
  int end;
};

// The pairs that a warp walks: whole steps of 32, so that the pairs of lower warps come first.
__device__ inline Span span_of_warp(int pairs) {
  const int steps = ((pairs + kWarp - 1) / kWarp + warps() - 1) / warps();
  const int first = warp_id() * steps * kWarp, end = first + steps * kWarp;
  return {first, end < pairs ? end : pairs};
}

// body(pair, expert, lanes of the same expert) for each step of the warp's pairs; the expert is kExperts for lanes
// that have none.
template <class Body>
__device__ inline void walk(const int* experts, int pairs, Body body) {
  const Span span = span_of_warp(pairs);
  for (int step = span.first; step < span.end; step += kWarp) {
    const int pair = step + lane_id();
    const int expert = pair < span.end ? experts[pair] : kExperts;
    body(pair, expert, lanes_alike(expert));
    sync_warp();
  }
}

__device__ inline void count(const int* experts, int pairs, int* counts) {
  walk(experts, pairs, [&](int, int expert, u32 alike) {
    if (expert < kExperts && lane_id() == highest_bit(alike)) counts[expert] += bits_set(alike);
  });
}

// Turns counts into where each warp begins within an expert, and leaves the totals in begins.
__device__ inline void sum_over_warps(const Work& work) {
  for (int expert = threadIdx.x; expert < kExperts; expert += blockDim.x) {
    int running = 0;
    for (int warp = 0; warp < warps(); ++warp) {
      int& own = work.counts[warp * kExperts + expert];
      const int counted = own;
      own = running;
      running += counted;
    }
    work.begins[expert] = running;
  }
}

__device__ inline int sum_of_lower_lanes(int value) {
  int sum = value;
  for (int stride = 1; stride < kWarp; stride *= 2) {
    const int other = shuffle(sum, lane_id() >= stride ? lane_id() - stride : lane_id());
    if (lane_id() >= stride) sum += other;
  }
  return sum - value;
}

__device__ inline int blocks_for(int pairs, int block_tokens) { return (pairs + block_tokens - 1) / block_tokens; }

// Turns the totals in begins into first places and first blocks; for one warp.
__device__ inline void sum_over_experts(const Work& work, int block_tokens) {
  constexpr int kEach = (kExperts + kWarp - 1) / kWarp;
  const int first = lane_id() * kEach, end = first + kEach < kExperts ? first + kEach : kExperts;
  int pairs = 0, blocks = 0;
  for (int expert = first; expert < end; ++expert) {
    pairs += work.begins[expert];
    blocks += blocks_for(work.begins[expert], block_tokens);
  }
  pairs = sum_of_lower_lanes(pairs);
  blocks = sum_of_lower_lanes(blocks);
  for (int expert = first; expert < end; ++expert) {
    const int own = work.begins[expert];
    work.begins[expert] = pairs;
    work.block_begins[expert] = blocks;
    pairs += own;
    blocks += blocks_for(own, block_tokens);
  }
}

__device__ inline int pairs_of(const Work& work, int expert, int pairs) {
  return (expert + 1 < kExperts ? work.begins[expert + 1] : pairs) - work.begins[expert];
}

// Each warp writes the blocks of its experts.
__device__ inline void write_blocks(const Work& work, int pairs, int block_tokens, int each, int4* blocks) {
  for (int expert = warp_id(); expert < kExperts; expert += warps()) {
    const int own = pairs_of(work, expert, pairs);
    for (int i = lane_id(); i < blocks_for(own, block_tokens); i += kWarp) {
      const int done = i * block_tokens, left = own - done;
      blocks[work.block_begins[expert] + i] = {expert % each, work.begins[expert] + done,
                                               left < block_tokens ? left : block_tokens, expert / each};
    }
  }
}

__device__ inline void write_ranges(const Work& work, int pairs, int block_tokens, int modalities, int* ranges) {
  const int last = kExperts - 1;
  for (int kind = threadIdx.x; kind < modalities; kind += blockDim.x)
    ranges[kind] = work.block_begins[kind * (kExperts / modalities)];
  if (threadIdx.x == 0)
    ranges[modalities] = work.block_begins[last] + blocks_for(pairs_of(work, last, pairs), block_tokens);
}

__device__ inline void place(const int* experts, int pairs, const Work& work, int* order, int* places) {
  int* next = work.counts + warp_id() * kExperts;
  walk(experts, pairs, [&](int pair, int expert, u32 alike) {
    const bool there = expert < kExperts;
    const int first = there ? next[expert] : 0;
    sync_warp();
    if (!there) return;
    const int at = work.begins[expert] + first + bits_set(alike & ((1u << lane_id()) - 1));
    order[at] = pair;
    places[pair] = at;
    if (lane_id() == highest_bit(alike)) next[expert] = first + bits_set(alike);
  });
}

}  // namespace lynceus

using namespace lynceus;

extern "C" __global__ void dispatch(const int* experts, int* order, int* places, int4* blocks, int* ranges,
                                    int* counters, int pairs, int modalities, int block_tokens, int counters_length) {
  int* shared = reinterpret_cast<int*>(shared_memory());
  const Work work{shared, shared + warps() * kExperts, shared + (warps() + 1) * kExperts};
  for (int i = threadIdx.x; i < warps() * kExperts; i += blockDim.x) work.counts[i] = 0;
  for (int i = threadIdx.x; i < counters_length; i += blockDim.x) counters[i] = 0;
  sync_block();
  count(experts, pairs, work.counts + warp_id() * kExperts);
  sync_block();
  sum_over_warps(work);
  sync_block();
  if (warp_id() == 0) sum_over_experts(work, block_tokens);
  sync_block();
  write_blocks(work, pairs, block_tokens, kExperts / modalities, blocks);
  write_ranges(work, pairs, block_tokens, modalities, ranges);
  place(experts, pairs, work, order, places);
}
