// The product of 128 output channels and many tokens on the tensor cores, a block of 128 input rows after the other.
//
// Each of eight warps has 16 channels and all tokens. The operand of the weights is made in registers, so that a
// decoded weight is never stored. Within a block, lane q of a group of four takes quads 16h + 4q .. 16h + 4q + 3 of
// half h: a lane's share of both operands is then 16 neighbouring bytes, and sums do not depend on the order.
#pragma once
#include <activations.cuh>

namespace lynceus {

constexpr int kTokens = TOKENS;
constexpr int kStages = STAGES;
constexpr int kThreads = 256;
constexpr int kHalves = 2;            // of a block, two products of 32 input rows each
constexpr int kColumns = 8;           // tokens of one product
constexpr int kGroupsOfTokens = kTokens / kColumns;
constexpr int kWarpChannels = kTile / (kThreads / kWarp);
constexpr int kRowChunks = kBlock / 16;

static_assert(kWarpChannels == 16 && kTokens % 16 == 0, "the shape of a product");

// The lane's weights of one half: [product][operand register].
struct Operand {
  u32 v[2][4];
};

// For each token and channel of the lane the sum so far: [tokens][channel and token, as the tensor cores give them].
struct Totals {
  float v[kGroupsOfTokens][4];
};

// What is on its way from memory for one block: activations [kTokens][kBlock], their scales [kTokens].
struct ActivationStage {
  i8* values;
  float* scales;
};

constexpr int kActivationBytes = kTokens * (kBlock + static_cast<int>(sizeof(float)));

__device__ inline ActivationStage activation_stage(u8* memory) {
  return {reinterpret_cast<i8*>(memory), reinterpret_cast<float*>(memory + kTokens * kBlock)};
}

// Where 16 bytes of a row lie in shared memory: rows alternate between the two halves of the banks, so that eight
// lanes that read two rows do not meet.
__device__ inline int swizzled(int row, int chunk) { return row * kBlock + (chunk ^ (row & 1) << 2) * 16; }

// Starts copying a block of activations; row_of(token) is the token's row among rows of so many blocks.
template <class RowOf>
__device__ inline void stage_activations(const ActivationStage& stage, const i8* values, const float* scales, int blocks,
                                         int block, RowOf row_of) {
  constexpr int kCopies = kTokens * kRowChunks;
  static_assert(kThreads % kRowChunks == 0 && kTokens <= kThreads, "a thread's copies are of one chunk");
  const int chunk = threadIdx.x % kRowChunks;
#pragma unroll
  for (int done = 0; done < kCopies; done += kThreads) {
    const int token = done / kRowChunks + threadIdx.x / kRowChunks;
    if (kCopies % kThreads != 0 && token >= kTokens) break;
    const u64 part = static_cast<u64>(row_of(token)) * blocks + block;
    copy_async<16>(stage.values + swizzled(token, chunk), values + part * kBlock + chunk * 16);
  }
  const int token = threadIdx.x;
  if (token < kTokens) copy_async<4>(stage.scales + token, scales + static_cast<u64>(row_of(token)) * blocks + block);
}

// Integer sums that start here are, as single-precision bits, this many above the number itself.
constexpr u32 kRounderBits = 0x4b400000u;
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23

__device__ inline void add_scaled(const int (&sums)[4], const float (&scale)[4], float (&total)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
    total[i] = total[i] + (float_of(static_cast<u32>(sums[i])) - kRounder) * scale[i];
}

__device__ inline uint4 token_words(const ActivationStage& stage, int group, int half) {
  const int token = group * kColumns + lane_id() / 4, chunk = 4 * half + lane_id() % 4;
  return *reinterpret_cast<const uint4*>(stage.values + swizzled(token, chunk));
}

__device__ inline float2 token_scales(const ActivationStage& stage, int group) {
  return reinterpret_cast<const float2*>(stage.scales)[group * kColumns / 2 + lane_id() % 4];
}

__device__ inline void multiply_half(int (&sums)[4], const Operand& weights, const uint4& tokens) {
  multiply_add(sums, weights.v[0], tokens.x, tokens.y);
  multiply_add(sums, weights.v[1], tokens.z, tokens.w);
}

// Adds a block to the totals of one or two tiles; `weights` is [tile][half], `count` the tokens that there are.
template <int kTiles>
__device__ inline void multiply_block(const ActivationStage& stage, const Operand (&weights)[kTiles][kHalves], int count,
                                      Totals (&totals)[kTiles]) {
#pragma unroll
  for (int group = 0; group < kGroupsOfTokens; ++group) {
    if (group * kColumns >= count) break;
    const uint4 first = token_words(stage, group, 0), second = token_words(stage, group, 1);
    const float2 scales = token_scales(stage, group);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      int sums[4] = {kRounderBits, kRounderBits, kRounderBits, kRounderBits};
      multiply_half(sums, weights[tile][0], first);
      multiply_half(sums, weights[tile][1], second);
      add_scaled(sums, {scales.x, scales.y, scales.x, scales.y}, totals[tile].v[group]);
    }
  }
}

// Goes through the blocks while the next ones are on their way: stage(block, slot) starts copies, compute(slot) uses
// what has come.
template <class Stage, class Compute>
__device__ inline void pipeline(int blocks, Stage stage, Compute compute) {
#pragma unroll
  for (int block = 0; block < kStages - 1; ++block) {
    if (block < blocks) stage(block, block);
    copy_async_commit();
  }
  for (int block = 0; block < blocks; ++block) {
    copy_async_wait<kStages - 2>();
    sync_block();
    const int next = block + kStages - 1;
    if (next < blocks) stage(next, next % kStages);
    copy_async_commit();
    compute(block % kStages);
  }
  sync_block();
}

// Results [kTokens][kTile] on their way from the lanes that computed them to a warp for each token; rows are four
// words longer, so that a product's tokens lie in different banks.
constexpr int kResultRow = kTile + 4;

// channel_of(upper) is the lane's channel in the lower or upper eight rows of a product.
template <class ChannelOf>
__device__ inline void store_results(float* results, const Totals& totals, ChannelOf channel_of) {
#pragma unroll
  for (int group = 0; group < kGroupsOfTokens; ++group)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int token = group * kColumns + lane_id() % 4 * 2 + i % 2;
      results[token * kResultRow + warp_id() * kWarpChannels + channel_of(i / 2)] = totals.v[group][i];
    }
}

__device__ inline Four result_of(const float* results, int token) {
  return load_four(results + token * kResultRow + 4 * lane_id());
}

}  // namespace lynceus
