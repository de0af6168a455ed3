// Sorts the pairs of a token and an expert by expert, and cuts each expert's pairs into blocks. One thread block, and
// arrays of a fixed size, so that a graph can hold it.
#include <intrinsics.cuh>

namespace lynceus {

constexpr int kExperts = EXPERTS;
constexpr int kAhead = 4;  // steps whose pairs are under way from memory together

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
  for (int first = span.first; first < span.end; first += kAhead * kWarp) {
    int expert[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int pair = first + i * kWarp + lane_id();
      expert[i] = pair < span.end ? experts[pair] : kExperts;
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i * kWarp >= span.end) break;
      body(first + i * kWarp + lane_id(), expert[i], lanes_alike(expert[i]));
      sync_warp();
    }
  }
}

__device__ inline void count(const int* experts, int pairs, int* counts) {
  walk(experts, pairs, [&](int, int expert, u32 alike) {
    if (expert < kExperts && lane_id() == highest_bit(alike)) counts[expert] += bits_set(alike);
  });
}

__device__ inline int blocks_for(int pairs, int block_tokens) { return (pairs + block_tokens - 1) / block_tokens; }

// Turns counts into where each warp begins within an expert, and leaves the experts' totals in begins and their numbers
// of blocks in block_begins.
__device__ inline void sum_over_warps(const Work& work, int block_tokens) {
  for (int expert = threadIdx.x; expert < kExperts; expert += blockDim.x) {
    int running = 0;
    for (int warp = 0; warp < warps(); ++warp) {
      int& own = work.counts[warp * kExperts + expert];
      const int counted = own;
      own = running;
      running += counted;
    }
    work.begins[expert] = running;
    work.block_begins[expert] = blocks_for(running, block_tokens);
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

// Turns the totals in begins and block_begins into first places and first blocks; for one warp.
__device__ inline void sum_over_experts(const Work& work) {
  constexpr int kEach = (kExperts + kWarp - 1) / kWarp;
  const int first = lane_id() * kEach, end = first + kEach < kExperts ? first + kEach : kExperts;
  int pairs = 0, blocks = 0;
  for (int expert = first; expert < end; ++expert) {
    pairs += work.begins[expert];
    blocks += work.block_begins[expert];
  }
  pairs = sum_of_lower_lanes(pairs);
  blocks = sum_of_lower_lanes(blocks);
  for (int expert = first; expert < end; ++expert) {
    const int own_pairs = work.begins[expert], own_blocks = work.block_begins[expert];
    work.begins[expert] = pairs;
    work.block_begins[expert] = blocks;
    pairs += own_pairs;
    blocks += own_blocks;
  }
}

__device__ inline int pairs_of(const Work& work, int expert, int pairs) {
  return (expert + 1 < kExperts ? work.begins[expert + 1] : pairs) - work.begins[expert];
}

// Each thread writes the blocks of its experts: few each, so that none waits for another's divisions.
__device__ inline void write_blocks(const Work& work, int pairs, int block_tokens, int each, int4* blocks) {
  for (int expert = threadIdx.x; expert < kExperts; expert += blockDim.x) {
    const int own = pairs_of(work, expert, pairs), modality = expert / each;
    int4* to = blocks + work.block_begins[expert];
    for (int done = 0; done < own; done += block_tokens) {
      const int left = own - done;
      *to++ = {expert - modality * each, work.begins[expert] + done, left < block_tokens ? left : block_tokens, modality};
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
  sum_over_warps(work, block_tokens);
  sync_block();
  if (warp_id() == 0) sum_over_experts(work);
  sync_block();
  write_blocks(work, pairs, block_tokens, kExperts / modalities, blocks);
  write_ranges(work, pairs, block_tokens, modalities, ranges);
  place(experts, pairs, work, order, places);
}
