// Python's view of the CPU kernels. Weights come in as contiguous numpy arrays that a handle keeps alive; activations,
// which change with every call, as addresses of contiguous memory that ops.py has checked. The GIL is released meanwhile.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "attention.h"
#include "encode.h"
#include "experts.h"
#include "feed_forward.h"
#include "routing.h"

namespace nb = nanobind;

template <class T>
using Array = nb::ndarray<T, nb::numpy, nb::device::cpu, nb::c_contig>;

namespace {

using lynceus::Format;
using lynceus::Kernels;
using lynceus::Matrix;

const Kernels& table(const std::string& level) {
  const Kernels* found = lynceus::kernels(level.c_str());
  if (found == nullptr) throw std::invalid_argument("this processor cannot run the level " + level);
  return *found;
}

void encode(Array<const uint8_t> values, Array<const int8_t> targets, Array<uint8_t> codes, int window_bits, int centre,
            int target_steps, int beam, int threads, bool portable, const std::string& level) {
  lynceus::EncodeTask task{values.data(), targets.data(), codes.data(), codes.shape(0), window_bits, centre,
                           target_steps,  beam,           threads,      &table(portable ? "portable" : level)};
  nb::gil_scoped_release release;
  lynceus::encode(task);
}

std::vector<std::string> levels() {
  std::vector<std::string> found;
  for (const char* name : {"avx512", "avx2", "portable"})
    if (lynceus::kernels(name) != nullptr) found.emplace_back(name);
  return found;
}

void expect(bool fits, const char* what) {
  if (!fits) throw std::invalid_argument(what);
}

template <class T>
T* at(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

uint32_t mask_of(int window_bits) { return (uint32_t{1} << window_bits) - 1; }

// A matrix and the arrays it reads.
struct HeldMatrix {
  Matrix matrix;
  Array<const uint8_t> codes;
  nb::object scales;
};

HeldMatrix two_bit(Array<const uint8_t> codes, Array<const int16_t> scales, int window_bits) {
  expect(codes.ndim() == 3 && codes.shape(2) == lynceus::kTile, "codes must be [N/128, K/4, 128]");
  const int channels = int(codes.shape(0)) * lynceus::kTile, rows = int(codes.shape(1)) * lynceus::kQuad;
  expect(rows % lynceus::kBlock == 0, "K must be a multiple of 128");
  expect(scales.size() == size_t(channels), "scales must be [N]");
  return {{Format::kTwoBit, codes.data(), scales.data(), channels, rows, mask_of(window_bits)}, codes, nb::cast(scales)};
}

HeldMatrix rows8(Array<const uint8_t> codes, Array<const float> scales) {
  expect(codes.ndim() == 2 && scales.size() == codes.shape(0), "codes must be [N, K] and scales [N]");
  return {{Format::kRows8, codes.data(), scales.data(), int(codes.shape(0)), int(codes.shape(1))}, codes,
          nb::cast(scales)};
}

HeldMatrix groups4(Array<const uint8_t> codes, Array<const int16_t> scales, int channels) {
  expect(codes.ndim() == 4 && codes.shape(2) == lynceus::kTile && codes.shape(3) == lynceus::kQuad,
         "codes must be [N/128, K/8, 128, 4]");
  const int rows = int(codes.shape(1)) * 2 * lynceus::kQuad;
  expect(rows % lynceus::kBlock == 0, "K must be a multiple of 128");
  expect(channels > int(codes.shape(0) - 1) * lynceus::kTile && channels <= int(codes.shape(0)) * lynceus::kTile,
         "codes must have as many tiles as N asks for");
  expect(scales.size() == codes.shape(0) * (rows / lynceus::kGroup) * lynceus::kTile,
         "scales must be [N/128, K/64, 128]");
  return {{Format::kGroups4, codes.data(), scales.data(), channels, rows}, codes, nb::cast(scales)};
}

void linear(const std::vector<const HeldMatrix*>& held, const std::string& level, int threads, uintptr_t x, int tokens,
            uintptr_t signs, const std::vector<uintptr_t>& biases, const std::vector<uintptr_t>& outs) {
  const Kernels& kernels = table(level);
  std::vector<lynceus::Product> products;
  for (size_t i = 0; i < held.size(); ++i) {
    expect(held[i]->matrix.rows == held.front()->matrix.rows, "matrices of one input have the same number of rows");
    products.push_back({&held[i]->matrix, at<const float>(biases[i]), at<float>(outs[i])});
  }
  nb::gil_scoped_release release;
  lynceus::PoolLease pool(threads);
  lynceus::linear(kernels, *pool, products, at<const int8_t>(signs), at<const float>(x), tokens);
}

void feed_forward(const HeldMatrix* gate, const HeldMatrix& up, const HeldMatrix& down, const std::string& level,
                  int threads, uintptr_t x, int tokens, uintptr_t up_bias, uintptr_t down_bias, uintptr_t out) {
  const Kernels& kernels = table(level);
  expect(down.matrix.rows == up.matrix.channels, "down must be [H, I] for an up of [I, H]");
  expect(gate == nullptr || (gate->matrix.rows == up.matrix.rows && gate->matrix.channels == up.matrix.channels),
         "gate and up must have one shape");
  const lynceus::FeedForward network{gate == nullptr ? nullptr : &gate->matrix, &up.matrix, &down.matrix,
                                     at<const float>(up_bias), at<const float>(down_bias)};
  nb::gil_scoped_release release;
  lynceus::PoolLease pool(threads);
  lynceus::feed_forward(kernels, *pool, network, at<const float>(x), tokens, at<float>(out));
}

void attend(const std::string& level, int threads, uintptr_t queries, uintptr_t keys, uintptr_t values, uintptr_t slots,
            uintptr_t lengths, int texts, int heads, int key_heads, int size, int width, uintptr_t out) {
  const Kernels& kernels = table(level);
  const lynceus::Running running{at<const float>(queries), at<const float>(keys), at<const float>(values),
                                 at<const int64_t>(slots), at<const int64_t>(lengths), texts, heads, key_heads, size, width};
  nb::gil_scoped_release release;
  lynceus::PoolLease pool(threads);
  lynceus::attend(kernels, *pool, running, at<float>(out));
}

void rotate(const std::string& level, int threads, uintptr_t x, uintptr_t cosines, uintptr_t sines, size_t stride,
            int tokens, int heads, int size, bool neighbours, uintptr_t out) {
  const Kernels& kernels = table(level);
  const lynceus::Heads all{at<const float>(x), at<const float>(cosines), at<const float>(sines), stride, tokens, heads,
                           size, neighbours};
  nb::gil_scoped_release release;
  lynceus::PoolLease pool(threads);
  lynceus::rotate(kernels, *pool, all, at<float>(out));
}

void route(const std::string& level, int threads, uintptr_t weight, uintptr_t bias, int experts, int top_k, float norm_min,
           uintptr_t x, int tokens, int hidden, uintptr_t chosen, uintptr_t weights) {
  const Kernels& kernels = table(level);
  expect(top_k <= experts, "a token cannot have more experts than there are");
  const lynceus::Router router{at<const float>(weight), at<const float>(bias), experts, top_k, norm_min};
  nb::gil_scoped_release release;
  lynceus::PoolLease pool(threads);
  lynceus::route(kernels, *pool, router, at<const float>(x), tokens, hidden, at<int64_t>(chosen), at<float>(weights));
}

// All experts of one layer and modality, and the arrays they read.
struct HeldExperts {
  lynceus::Experts experts;
  std::vector<nb::object> arrays;
};

std::vector<Matrix> split(const Array<const uint8_t>& codes, const Array<const int16_t>& scales, int window_bits) {
  expect(codes.ndim() == 4 && codes.shape(3) == lynceus::kTile, "codes must be [E, N/128, K/4, 128]");
  const int channels = int(codes.shape(1)) * lynceus::kTile, rows = int(codes.shape(2)) * lynceus::kQuad;
  expect(scales.ndim() == 2 && scales.shape(0) == codes.shape(0) && scales.shape(1) == size_t(channels),
         "scales must be [E, N]");
  expect(rows % lynceus::kBlock == 0, "K must be a multiple of 128");
  std::vector<Matrix> found;
  for (size_t e = 0; e < codes.shape(0); ++e)
    found.push_back({Format::kTwoBit, codes.data() + e * channels * (rows / lynceus::kQuad),
                     scales.data() + e * channels, channels, rows, mask_of(window_bits)});
  return found;
}

HeldExperts hold_experts(Array<const uint8_t> gate_up, Array<const int16_t> gate_up_scales, Array<const uint8_t> down,
                         Array<const int16_t> down_scales, Array<const int8_t> signs, Array<const int8_t> down_signs,
                         int window_bits) {
  lynceus::Experts experts{split(gate_up, gate_up_scales, window_bits), split(down, down_scales, window_bits),
                           signs.data(), down_signs.data()};
  expect(experts.gate_up.size() == experts.down.size() &&
             experts.gate_up.front().channels == 2 * experts.size() && experts.gate_up.front().rows == experts.hidden(),
         "gate_up must be [E, 2I, H] and down [E, H, I]");
  expect(signs.size() == size_t(experts.hidden()) && down_signs.size() == size_t(experts.size()),
         "signs must be [H] and down_signs [I]");
  return {std::move(experts),
          {nb::cast(gate_up), nb::cast(gate_up_scales), nb::cast(down), nb::cast(down_scales), nb::cast(signs),
           nb::cast(down_signs)}};
}

void run_experts(const HeldExperts& held, const std::string& level, int threads, uintptr_t x, int tokens, int top_k,
                 uintptr_t chosen, uintptr_t weights, uintptr_t out) {
  const Kernels& kernels = table(level);
  const lynceus::Routed routed{at<const int64_t>(chosen), at<const float>(weights), tokens, top_k};
  for (int i = 0; i < tokens * top_k; ++i)
    expect(routed.experts[i] >= 0 && routed.experts[i] < int64_t(held.experts.down.size()), "no such expert");
  nb::gil_scoped_release release;
  lynceus::PoolLease pool(threads);
  lynceus::run_experts(kernels, *pool, held.experts, routed, at<const float>(x), at<float>(out));
}

void decode(const std::string& level, Array<const uint8_t> codes, int window_bits, Array<uint8_t> values) {
  expect(codes.ndim() == 3 && codes.shape(1) % lynceus::kQuads == 0 && codes.shape(2) == lynceus::kTile,
         "codes must be [N/128, K/4, 128] and K a multiple of 128");
  expect(values.size() == codes.size() * lynceus::kQuad, "values must be [N/128, K/4, 128, 4]");
  const Kernels& kernels = table(level);
  for (size_t done = 0; done < codes.size(); done += lynceus::kPanel / lynceus::kQuad)
    kernels.decode(codes.data() + done, mask_of(window_bits), values.data() + done * lynceus::kQuad);
}

void quantize(const std::string& level, Array<const float> x, std::optional<Array<const int8_t>> signs,
              Array<int8_t> values, Array<float> scales) {
  expect(x.ndim() == 2 && x.shape(1) % lynceus::kBlock == 0, "x must be [T, K] and K a multiple of 128");
  expect(values.size() == x.size() && scales.size() == x.size() / lynceus::kBlock, "values [T, K], scales [T, K/128]");
  const Kernels& kernels = table(level);
  int32_t sums[lynceus::kBlock / lynceus::kGroup];
  for (size_t block = 0; block < scales.size(); ++block) {
    const size_t first = block * lynceus::kBlock;
    kernels.quantize(x.data() + first, signs ? signs->data() + first % x.shape(1) : nullptr, values.data() + first,
                     scales.data() + block, sums);
  }
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "CPU kernels of compressed weights.";
  // Handles live as long as the networks that hold them, often to the end of the process: no leak to warn of.
  nb::set_leak_warnings(false);
  m.def("encode", &encode, nb::arg("values"), nb::arg("targets"), nb::arg("codes"), nb::kw_only(), nb::arg("window_bits"),
        nb::arg("centre"), nb::arg("target_steps"), nb::arg("beam"), nb::arg("threads"),
        nb::arg("portable") = false, nb::arg("level") = "");
  m.def("levels", &levels, "The instruction sets that this processor runs, the best first.");
  nb::class_<HeldMatrix>(m, "Matrix")
      .def_static("two_bit", &two_bit, nb::arg("codes"), nb::arg("scales"), nb::arg("window_bits"))
      .def_static("rows8", &rows8, nb::arg("codes"), nb::arg("scales"))
      .def_static("groups4", &groups4, nb::arg("codes"), nb::arg("scales"), nb::arg("channels"));
  nb::class_<HeldExperts>(m, "Experts");
  m.def("hold_experts", &hold_experts, nb::kw_only(), nb::arg("gate_up"), nb::arg("gate_up_scales"), nb::arg("down"),
        nb::arg("down_scales"), nb::arg("signs"), nb::arg("down_signs"), nb::arg("window_bits"));
  m.def("linear", &linear, nb::arg("matrices"), nb::arg("level"), nb::arg("threads"), nb::arg("x"), nb::arg("tokens"),
        nb::arg("signs"), nb::arg("biases"), nb::arg("outs"));
  m.def("feed_forward", &feed_forward, nb::arg("gate").none(), nb::arg("up"), nb::arg("down"), nb::arg("level"),
        nb::arg("threads"), nb::arg("x"), nb::arg("tokens"), nb::arg("up_bias"), nb::arg("down_bias"), nb::arg("out"));
  m.def("attend", &attend, nb::arg("level"), nb::arg("threads"), nb::arg("queries"), nb::arg("keys"), nb::arg("values"),
        nb::arg("slots"), nb::arg("lengths"), nb::arg("texts"), nb::arg("heads"), nb::arg("key_heads"), nb::arg("size"),
        nb::arg("width"), nb::arg("out"));
  m.def("rotate", &rotate, nb::arg("level"), nb::arg("threads"), nb::arg("x"), nb::arg("cosines"), nb::arg("sines"),
        nb::arg("stride"), nb::arg("tokens"), nb::arg("heads"), nb::arg("size"), nb::arg("neighbours"), nb::arg("out"));
  m.def("route", &route, nb::arg("level"), nb::arg("threads"), nb::arg("weight"), nb::arg("bias"), nb::arg("experts"),
        nb::arg("top_k"), nb::arg("norm_min"), nb::arg("x"), nb::arg("tokens"), nb::arg("hidden"), nb::arg("chosen"),
        nb::arg("weights"));
  m.def("run_experts", &run_experts, nb::arg("experts"), nb::arg("level"), nb::arg("threads"), nb::arg("x"),
        nb::arg("tokens"), nb::arg("top_k"), nb::arg("chosen"), nb::arg("weights"), nb::arg("out"));
  m.def("decode", &decode, nb::arg("level"), nb::arg("codes"), nb::arg("window_bits"), nb::arg("values"));
  m.def("quantize", &quantize, nb::arg("level"), nb::arg("x"), nb::arg("signs").none(), nb::arg("values"),
        nb::arg("scales"));
}
