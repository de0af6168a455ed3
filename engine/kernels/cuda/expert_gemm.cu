// The experts for many tokens: a thread block decodes each weight once for up to 128 tokens of one expert.
#include <codes.cuh>
#include <tensor_cores.cuh>

namespace lynceus {

using Element = ELEMENT;

constexpr int kTiles = 2;  // gate and up of the same inner channels, or two tiles of down
constexpr int kStageBytes = kTiles * kTileBytes + kActivationBytes;

static_assert(kStages * kStageBytes >= kTokens * kResultRow * static_cast<int>(sizeof(float)),
              "results take the place of the stages");

struct TokenBlock {
  int expert;
  int first;
  int count;
};

// The block of this thread block; none where the table ends before.
__device__ inline TokenBlock token_block(const int4* blocks, const int* range) {
  const int number = range[0] + blockIdx.y;
  if (number >= range[1]) return {0, 0, 0};
  const int4 entry = blocks[number];
  return {entry.x, entry.y, entry.z};
}

// Where a tile's two bytes of a quad and a pair of channels lie in shared memory: 16 bytes are the channels of one
// warp, and the four quads that a lane's neighbours read lie in different banks.
__device__ inline int code_address(int quad, int chunk) { return quad * kTile + (chunk ^ (quad / 4 & 7)) * 16; }

__device__ inline void stage_codes(u8* memory, const u8* tile, int block) {
  static_assert(kTileBytes == 16 * kThreads, "each thread copies 16 bytes");
  const int quad = threadIdx.x / kRowChunks, chunk = threadIdx.x % kRowChunks;
  copy_async<16>(memory + code_address(quad, chunk),
                 tile + static_cast<u64>(block) * kTileBytes + threadIdx.x * 16);
}

// Channels 2g and 2g + 1 of the warp, g = lane / 4, are rows g and g + 8 of the products.
__device__ inline int channel_of(int upper) { return lane_id() / 4 * 2 + upper; }

// The bytes of four channels, of which the last two are the lane's own.
__device__ inline u32 window_bytes(const u8* codes, int quad) {
  const int group = lane_id() / 4, own = code_address(quad, warp_id()) + 2 * group;
  const int before = group == 0 ? code_address(quad, (warp_id() + 7) & 7) + 14 : own - 2;
  return *reinterpret_cast<const u16*>(codes + before) | *reinterpret_cast<const u16*>(codes + own) << 16;
}

// The newest byte is at `newest`, the older ones below it.
__device__ inline u32 decoded(u32 bytes, int newest) {
  const u32 window = permute(bytes, 0, newest | (newest - 1) << 4 | (newest - 2) << 8 | 4 << 12);
  return centred(values_of(window & kWindowMask));
}

__device__ inline Operand decode_half(const u8* codes, int half) {
  Operand weights;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const u32 bytes = window_bytes(codes, half * (kQuads / kHalves) + lane_id() % 4 * 4 + i);
    weights.v[i / 2][i % 2 * 2] = decoded(bytes, 2);
    weights.v[i / 2][i % 2 * 2 + 1] = decoded(bytes, 3);
  }
  return weights;
}

// Totals of two tiles [first, second] over all blocks.
template <class RowOf>
__device__ inline void multiply(const u8* (&tiles)[kTiles], const i8* values, const float* scales, int blocks, int count,
                                RowOf row_of, Totals (&totals)[kTiles]) {
  const auto memory = [](int slot) { return shared_memory() + slot * kStageBytes; };
  pipeline(
      blocks,
      [&](int block, int slot) {
        for (int t = 0; t < kTiles; ++t) stage_codes(memory(slot) + t * kTileBytes, tiles[t], block);
        stage_activations(activation_stage(memory(slot) + kTiles * kTileBytes), values, scales, blocks, block, row_of);
      },
      [&](int slot) {
        Operand weights[kTiles][kHalves];
#pragma unroll
        for (int t = 0; t < kTiles; ++t)
#pragma unroll
          for (int half = 0; half < kHalves; ++half)
            weights[t][half] = decode_half(memory(slot) + t * kTileBytes, half);
        multiply_block(activation_stage(memory(slot) + kTiles * kTileBytes), weights, count, totals);
      });
}

// Multiplies totals by the scales [kTile] of their tile's channels.
__device__ inline void scale_channels(Totals& totals, const u16* scales) {
  float scale[2];
  for (int upper = 0; upper < 2; ++upper)
    scale[upper] = widen(half{scales[warp_id() * kWarpChannels + channel_of(upper)]});
#pragma unroll
  for (int group = 0; group < kGroupsOfTokens; ++group)
#pragma unroll
    for (int i = 0; i < 4; ++i) totals.v[group][i] = totals.v[group][i] * scale[i / 2];
}

__device__ inline const u8* tile_of(const u8* codes, int expert, int tiles, int tile, int blocks) {
  return codes + (static_cast<u64>(expert) * tiles + tile) * blocks * kTileBytes;
}

__device__ inline const u16* scales_of(const u16* scales, int expert, int tiles, int tile) {
  return scales + (static_cast<u64>(expert) * tiles + tile) * kTile;
}

}  // namespace lynceus

using namespace lynceus;

extern "C" __global__ void __launch_bounds__(kThreads)
    expert_gate_up(const int4* blocks, const int* range, const int* order, const i8* values, const float* scales,
                   const u8* gate_up_codes, const u16* gate_up_scales, const i8* down_signs, i8* inner,
                   float* inner_scales, int top_k, int hidden, int size) {
  const TokenBlock tokens = token_block(blocks, range);
  if (tokens.count == 0) return;
  const int wide = size / kBlock, deep = hidden / kBlock, tile = blockIdx.x;
  int* rows = reinterpret_cast<int*>(shared_memory() + kStages * kStageBytes);
  for (int t = threadIdx.x; t < kTokens; t += kThreads)
    rows[t] = order[tokens.first + (t < tokens.count ? t : tokens.count - 1)] / top_k;
  sync_block();
  const u8* tiles[kTiles] = {tile_of(gate_up_codes, tokens.expert, 2 * wide, tile, deep),
                             tile_of(gate_up_codes, tokens.expert, 2 * wide, tile + wide, deep)};
  Totals totals[kTiles] = {};
  multiply(tiles, values, scales, deep, tokens.count, [&](int token) { return rows[token]; }, totals);
  for (int t = 0; t < kTiles; ++t)
    scale_channels(totals[t], scales_of(gate_up_scales, tokens.expert, 2 * wide, tile + t * wide));
#pragma unroll
  for (int group = 0; group < kGroupsOfTokens; ++group)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      totals[0].v[group][i] = swiglu(totals[0].v[group][i], totals[1].v[group][i]);
  float* results = reinterpret_cast<float*>(shared_memory());
  store_results(results, totals[0], channel_of);
  sync_block();
  for (int t = warp_id(); t < tokens.count; t += kThreads / kWarp) {
    const u64 part = static_cast<u64>(tokens.first + t) * wide + tile;
    quantize_block(result_of(results, t), down_signs + tile * kBlock, inner + part * kBlock, inner_scales + part);
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    expert_down(const int4* blocks, const int* range, const i8* inner, const float* inner_scales, const u8* down_codes,
                const u16* down_scales, Element* results, int hidden, int size) {
  const TokenBlock tokens = token_block(blocks, range);
  if (tokens.count == 0) return;
  const int wide = size / kBlock, all = hidden / kTile, first = blockIdx.x * kTiles;
  const int last = first + 1 < all ? first + 1 : first;  // the same tile again where their number is odd
  const u8* tiles[kTiles] = {tile_of(down_codes, tokens.expert, all, first, wide),
                             tile_of(down_codes, tokens.expert, all, last, wide)};
  Totals totals[kTiles] = {};
  const auto place_of = [&](int token) { return tokens.first + (token < tokens.count ? token : tokens.count - 1); };
  multiply(tiles, inner, inner_scales, wide, tokens.count, place_of, totals);
  float* staged = reinterpret_cast<float*>(shared_memory());
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    if (first + tile >= all) return;
    scale_channels(totals[tile], scales_of(down_scales, tokens.expert, all, first + tile));
    store_results(staged, totals[tile], channel_of);
    sync_block();
    for (int t = warp_id(); t < tokens.count; t += kThreads / kWarp)
      store_four(results + (static_cast<u64>(tokens.first + t) * all + first + tile) * kTile + 4 * lane_id(),
                 result_of(staged, t));
    sync_block();
  }
}
