// The experts for few tokens: limited by the stream of codes, so each byte is read once, and every warp of the GPU
// reads. A warp works by itself: it takes tasks by a ticket until none is left. First come the tasks of gate and up, a
// chunk of blocks of one tile each; whoever ends a pair of tiles adds up, makes an inner block of it, and so lets the
// tasks of down begin. A warp waits only for lower tickets, which others already work on, so none waits for ever.
//
// A lane takes 16 channels of 8 quads of a block: one load and one neighbour's word for 64 weights.
#include <codes.cuh>

namespace lynceus {

using Element = ELEMENT;

constexpr int kTokens = TOKENS;
constexpr int kGroups = 4;                           // of 8 lanes, each with a quarter of a block's quads
constexpr int kLaneQuads = kQuads / kGroups;
constexpr int kLaneChannels = kTile / (kWarp / kGroups);
constexpr int kSpan = 8;                             // channels that a lane sums up at a time
constexpr int kPasses = kLaneChannels / kSpan;
constexpr int kKept = kSpan / kGroups;               // channels that are a lane's in the end
constexpr int kAtOnce = kTokens < 4 ? kTokens : 4;   // tokens that one decoding serves; more would not fit registers

static_assert(kLaneChannels == 16 && kPasses == 2 && kKept == 2, "a load is 16 bytes, a product a float2");

struct Words {
  u32 v[4];
};

__device__ inline Words words_of(uint4 loaded) { return {{loaded.x, loaded.y, loaded.z, loaded.w}}; }

// A block of a tile's codes, as the lane holds it.
struct Codes {
  Words quad[kLaneQuads];
};

// Consecutive places of one expert.
struct TokenBlock {
  int expert;
  int first;
  int count;
};

// Activations, their rows of so many blocks.
struct Source {
  const i8* values;
  const float* scales;
  int blocks;

  __device__ uint4 load(int row, int block, int word) const {
    const i8* from = values + (static_cast<u64>(row) * blocks + block) * kBlock + 4 * word;
    return load_fresh(reinterpret_cast<const uint4*>(from));
  }
  __device__ float scale(int row, int block) const {
    return load_fresh(scales + static_cast<u64>(row) * blocks + block);
  }
};

// Where one projection's tiles and blocks lie.
struct Projection {
  const u8* codes;
  const u16* scales;
  int tiles;
  int blocks;
  int chunk;
  float* partials;  // [P][stride][128], of which this projection has tiles slots at the beginning
  int stride;

  __device__ int chunks() const { return (blocks + chunk - 1) / chunk; }
  __device__ bool whole() const { return chunk >= blocks; }
  __device__ int slots() const { return whole() ? 1 : blocks; }
  __device__ const u8* tile(int expert, int number) const {
    return codes + (static_cast<u64>(expert) * tiles + number) * blocks * kTileBytes;
  }
  __device__ float* products(int place, int tile, int slot) const {
    return partials + (static_cast<u64>(place) * stride + tile * slots() + slot) * kTile;
  }
};

struct Layer {
  Projection gate_up, down;
  Source input, inner;
  i8* inner_values;
  float* inner_scales;
  const i8* down_signs;
  const int* order;
  Element* results;
  int* counters;
  int top_k;

  // The counters: the next ticket, then for each token block the arrivals at its inner blocks, the inner blocks that
  // are ready, and the arrivals at its tiles of down.
  __device__ int wide() const { return down.blocks; }
  __device__ int* arrivals(int block) const { return counters + 1 + block * (wide() + 1 + down.tiles); }
  __device__ int* ready(int block) const { return arrivals(block) + wide(); }
  __device__ int* down_arrivals(int block) const { return ready(block) + 1; }
};

__device__ inline void load_codes(const u8* tile, int block, Codes& codes) {
  constexpr int kLanes = kWarp / kGroups;
  const u8* from = tile + static_cast<u64>(block) * kTileBytes + lane_id() / kLanes * kLaneQuads * kTile +
                   lane_id() % kLanes * kLaneChannels;
#pragma unroll
  for (int i = 0; i < kLaneQuads; ++i) codes.quad[i] = words_of(load_stream(from + i * kTile));
}

// Adds up over the groups of lanes; each lane keeps two of eight channels.
__device__ inline void add_over_groups(int (&sum)[kSpan]) {
#pragma unroll
  for (int lanes = 16, half = kSpan / 2; lanes >= 8; lanes /= 2, half /= 2) {
    const bool upper = lane_id() & lanes;
#pragma unroll
    for (int c = 0; c < half; ++c) {
      const int kept = upper ? sum[c + half] : sum[c], given = upper ? sum[c] : sum[c + half];
      sum[c] = kept + shuffle_xor(given, lanes);
    }
  }
}

// The first of the two channels that a lane keeps.
__device__ inline int kept_channel(int pass) {
  const int lane = lane_id();
  return lane % 8 * kLaneChannels + pass * kSpan + (lane >> 4) * (kSpan / 2) + (lane >> 3 & 1) * kKept;
}

// What the lane's sums start from, because the values are decoded 0..30.
template <int kCount>
__device__ inline void start_sums(const Source& source, const int (&rows)[kCount], int block, int (&start)[kCount]) {
  const int word = lane_id() / 8 * kLaneQuads;
#pragma unroll
  for (int t = 0; t < kCount; ++t) {
    int sum = 0;
#pragma unroll
    for (int half = 0; half < kLaneQuads; half += 4) {
      const Words a = words_of(source.load(rows[t], block, word + half));
      for (int i = 0; i < 4; ++i) sum = dp4a(layout::k_CENTRE * kEveryByte, a.v[i], sum);
    }
    start[t] = -sum;
  }
}

// Sums over a block for half of the lane's channels.
template <int kCount>
__device__ inline void sum_pass(const Codes& codes, const Source& source, const int (&rows)[kCount], int block, int pass,
                                int (&sum)[kCount][kSpan]) {
  const int word = lane_id() / 8 * kLaneQuads, neighbour = (lane_id() & 24) | ((lane_id() + 7) & 7);
#pragma unroll
  for (int half = 0; half < kLaneQuads; half += 4) {
    Words a[kCount];
#pragma unroll
    for (int t = 0; t < kCount; ++t) a[t] = words_of(source.load(rows[t], block, word + half));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const Words& own = codes.quad[half + i];
      const u32 before = pass == 0 ? shuffle(own.v[3], neighbour) : own.v[1];
      const u32 first = own.v[2 * pass], second = own.v[2 * pass + 1];
#pragma unroll
      for (int c = 0; c < kSpan; ++c) {
        const u32 w = values_of(window_of(c < 4 ? before : first, c < 4 ? first : second, c % 4));
#pragma unroll
        for (int t = 0; t < kCount; ++t) sum[t][c] = dp4a(w, a[t].v[i], sum[t][c]);
      }
    }
  }
}

// The products of a block and tokens from `first` on: one slot each, or added to the one slot where a single task goes
// through all blocks. Lane t knows the row of token t.
template <int kCount>
__device__ inline void multiply_block(const Codes& codes, const Projection& projection, const Source& source,
                                      const TokenBlock& tokens, int row, int first, int tile, int block) {
  int rows[kCount], start[kCount];
#pragma unroll
  for (int t = 0; t < kCount; ++t) rows[t] = shuffle(row, first + t);
  start_sums(source, rows, block, start);
  const bool adding = projection.whole() && block > 0;
  const int slot = projection.whole() ? 0 : block;
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    int sum[kCount][kSpan];
#pragma unroll
    for (int t = 0; t < kCount; ++t)
      for (int c = 0; c < kSpan; ++c) sum[t][c] = start[t];
    sum_pass(codes, source, rows, block, pass, sum);
#pragma unroll
    for (int t = 0; t < kCount; ++t) {
      add_over_groups(sum[t]);
      if (first + t >= tokens.count) continue;
      const float scale = source.scale(rows[t], block);
      const int place = tokens.first + first + t;
      float2* to = reinterpret_cast<float2*>(projection.products(place, tile, slot) + kept_channel(pass));
      float2 product = {static_cast<float>(sum[t][0]) * scale, static_cast<float>(sum[t][1]) * scale};
      if (adding) product = {to->x + product.x, to->y + product.y};
      *to = product;
    }
  }
}

// A chunk of blocks of one tile; its first codes are on their way.
template <int kCount>
__device__ inline void multiply_chunk(Codes& codes, const Projection& projection, const Source& source,
                                      const TokenBlock& tokens, int row, int tile, int chunk) {
  const u8* from = projection.tile(tokens.expert, tile);
  const int begin = chunk * projection.chunk, next = begin + projection.chunk;
  const int end = next < projection.blocks ? next : projection.blocks;
  for (int block = begin; block < end; ++block) {
    if (block > begin) load_codes(from, block, codes);
    for (int first = 0; first < tokens.count; first += kCount) {
      multiply_block<kCount>(codes, projection, source, tokens, row, first, tile, block);
      // Decoded again for the next tokens: decoded weights of a block would not fit registers.
      for (Words& quad : codes.quad)
        for (u32& word : quad.v) forget(word);
    }
  }
}

// Chooses the narrowest code for the number of tokens.
template <int kCount = 1>
__device__ inline void multiply(Codes& codes, const Projection& projection, const Source& source,
                                const TokenBlock& tokens, int row, int tile, int chunk) {
  if constexpr (kCount < kAtOnce) {
    if (tokens.count > kCount) {
      multiply<2 * kCount>(codes, projection, source, tokens, row, tile, chunk);
      return;
    }
  }
  multiply_chunk<kCount>(codes, projection, source, tokens, row, tile, chunk);
}

// Whether this warp is the last of so many that come here; then it sees what the others wrote.
__device__ inline bool arrives_last(int* counter, int expected) {
  fence();
  sync_warp();
  const int before = shuffle(lane_id() == 0 ? atomic_add(counter, 1) : 0, 0);
  fence();
  return before == expected - 1;
}

// A tile's sums for one place, in the order of the blocks, times the channels' scales.
__device__ inline Four total(const Projection& projection, int expert, int place, int tile) {
  Four sum = {};
  for (int slot = 0; slot < projection.slots(); ++slot) {
    const float4 part =
        load_fresh(reinterpret_cast<const float4*>(projection.products(place, tile, slot)) + lane_id());
    sum = {{sum.v[0] + part.x, sum.v[1] + part.y, sum.v[2] + part.z, sum.v[3] + part.w}};
  }
  const u64 channel = (static_cast<u64>(expert) * projection.tiles + tile) * kTile + 4 * lane_id();
  const Four scale = load_four(reinterpret_cast<const half*>(projection.scales) + channel);
  for (int i = 0; i < 4; ++i) sum.v[i] = sum.v[i] * scale.v[i];
  return sum;
}

// Gate, up and SwiGLU of an inner block, rotated and quantized.
__device__ inline void finish_inner(const Layer& layer, const TokenBlock& tokens, int tile) {
  for (int t = 0; t < tokens.count; ++t) {
    const int place = tokens.first + t;
    const Four gate = total(layer.gate_up, tokens.expert, place, tile);
    const Four up = total(layer.gate_up, tokens.expert, place, tile + layer.wide());
    const u64 part = static_cast<u64>(place) * layer.wide() + tile;
    quantize_block(swiglu(gate, up), layer.down_signs + tile * kBlock, layer.inner_values + part * kBlock,
                   layer.inner_scales + part);
  }
}

__device__ inline void finish_down(const Layer& layer, const TokenBlock& tokens, int tile) {
  for (int t = 0; t < tokens.count; ++t) {
    const u64 place = tokens.first + t;
    store_four(layer.results + (place * layer.down.tiles + tile) * kTile + 4 * lane_id(),
               total(layer.down, tokens.expert, place, tile));
  }
}

__device__ inline void wait_for(const int* counter, int expected) {
  if (lane_id() == 0)
    while (load_volatile(counter) < expected) relax();
  sync_warp();
  fence();
}

// The row of the activations that lane t needs for token t; the last one again where there are fewer.
__device__ inline int row_of_lane(const Layer& layer, const TokenBlock& tokens, bool down) {
  const int place = tokens.first + (lane_id() < tokens.count ? lane_id() : tokens.count - 1);
  return down ? place : layer.order[place] / layer.top_k;
}

// Member by member, because a choice between two structures would put them into memory.
__device__ inline Projection chosen(bool first, const Projection& a, const Projection& b) {
  return {first ? a.codes : b.codes, first ? a.scales : b.scales, first ? a.tiles : b.tiles,
          first ? a.blocks : b.blocks, first ? a.chunk : b.chunk, first ? a.partials : b.partials, a.stride};
}

__device__ inline Source chosen(bool first, const Source& a, const Source& b) {
  return {first ? a.values : b.values, first ? a.scales : b.scales, first ? a.blocks : b.blocks};
}

// Task numbers go through the token blocks, their tiles, and the tiles' chunks.
__device__ inline void run_task(const Layer& layer, const int4* blocks, bool down, int task) {
  const Projection projection = chosen(down, layer.down, layer.gate_up);
  const int chunks = projection.chunks(), chunk = task % chunks, tile = task / chunks % projection.tiles;
  const int block = task / (chunks * projection.tiles);
  const int4 entry = blocks[block];
  const TokenBlock tokens{entry.x, entry.y, entry.z};
  Codes codes;
  load_codes(projection.tile(tokens.expert, tile), chunk * projection.chunk, codes);
  if (down) wait_for(layer.ready(block), layer.wide());
  multiply(codes, projection, chosen(down, layer.inner, layer.input), tokens, row_of_lane(layer, tokens, down), tile,
           chunk);
  if (down) {
    if (arrives_last(layer.down_arrivals(block) + tile, chunks)) finish_down(layer, tokens, tile);
    return;
  }
  const int inner = tile % layer.wide();
  if (!arrives_last(layer.arrivals(block) + inner, 2 * chunks)) return;
  finish_inner(layer, tokens, inner);
  fence();
  sync_warp();
  if (lane_id() == 0) atomic_add(layer.ready(block), 1);
}

__device__ inline int take_ticket(int* counters) { return lane_id() == 0 ? atomic_add(counters, 1) : 0; }

}  // namespace lynceus

using namespace lynceus;

extern "C" __global__ void __launch_bounds__(128)
    expert_gemv(const int4* blocks, const int* range, const int* order, const i8* values, const float* scales,
                const u8* gate_up_codes, const u16* gate_up_scales, const u8* down_codes, const u16* down_scales,
                const i8* down_signs, float* partials, i8* inner, float* inner_scales, Element* results, int* counters,
                int top_k, int hidden, int size, int gate_up_chunk, int down_chunk) {
  const int deep = hidden / kBlock, wide = size / kBlock, count = range[1] - range[0];
  Projection gate_up{gate_up_codes, gate_up_scales, 2 * wide, deep, gate_up_chunk, partials, 0};
  Projection down{down_codes, down_scales, deep, wide, down_chunk, partials, 0};
  down.partials += gate_up.tiles * gate_up.slots() * kTile;
  gate_up.stride = down.stride = gate_up.tiles * gate_up.slots() + down.tiles * down.slots();
  const Layer layer{gate_up, down, {values, scales, deep}, {inner, inner_scales, wide}, inner,
                    inner_scales, down_signs, order, results, counters, top_k};
  blocks += range[0];
  const int gate_up_tasks = count * gate_up.tiles * gate_up.chunks();
  const int tasks = gate_up_tasks + count * down.tiles * down.chunks();
  for (int ticket = shuffle(take_ticket(counters), 0); ticket < tasks;) {
    const int next = take_ticket(counters);
    const bool down_task = ticket >= gate_up_tasks;
    run_task(layer, blocks, down_task, down_task ? ticket - gate_up_tasks : ticket);
    ticket = shuffle(next, 0);
  }
}
