// Python's view of the CPU kernels: contiguous numpy arrays in, filled arrays out; the GIL is released meanwhile.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "encode.h"

namespace nb = nanobind;

template <class T>
using Array = nb::ndarray<T, nb::numpy, nb::device::cpu, nb::c_contig>;

namespace {

void encode(Array<const uint8_t> values, Array<const int8_t> targets, Array<uint8_t> codes, int window_bits, int centre,
            int target_steps, int beam, int threads, bool portable) {
  lynceus::EncodeTask task{values.data(), targets.data(), codes.data(), codes.shape(0), window_bits, centre,
                           target_steps,  beam,           threads,      portable};
  nb::gil_scoped_release release;
  lynceus::encode(task);
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "CPU kernels of the 2-bit code.";
  m.def("encode", &encode, nb::arg("values"), nb::arg("targets"), nb::arg("codes"), nb::kw_only(), nb::arg("window_bits"),
        nb::arg("centre"), nb::arg("target_steps"), nb::arg("beam"), nb::arg("threads"), nb::arg("portable"));
}
