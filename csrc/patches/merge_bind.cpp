// Python entry points of merge_patches: argument checks, dispatch on device and dtype.
#include "common/checks.h"
#include "common/pages.h"
#include "patches/merge.h"

namespace sarcore {

namespace {

MergeAxis axis_of(int64_t length, int64_t size, int64_t stride) {
    if (length > int64_t{0xffffffff})
        throw py::value_error("a scene must be less than 2^32 elements high and wide, got " + std::to_string(length));
    if (length < 1 || stride < 1 || stride > size)
        throw py::value_error("stride must be 1 to " + std::to_string(size) + " for a scene of 1 pixel or more, got " +
                              std::to_string(stride) + " for " + std::to_string(length));
    return {length, size, stride, length <= size ? 1 : (length - size + stride - 1) / stride + 1};
}

// patches is (P, C, h, w).
MergeLayout layout_of(const TensorView& patches, const char* name, int64_t height, int64_t width,
                      std::pair<int64_t, int64_t> stride, const std::string& mode, int64_t first_patch_row,
                      int64_t row_begin, int64_t row_end) {
    require_layout(patches, name, 4);
    require(patches.shape[2] > 0 && patches.shape[3] > 0, name, patches, "patches of 1 pixel or more");
    MergeLayout layout{axis_of(height, patches.shape[2], stride.first),
                       axis_of(width, patches.shape[3], stride.second),
                       patches.shape[1],
                       first_patch_row,
                       0,
                       row_begin,
                       row_end,
                       choose<MergeMode>("mode", mode,
                                         {{"mean", MergeMode::mean},
                                          {"max", MergeMode::max},
                                          {"min", MergeMode::min},
                                          {"median", MergeMode::median}})};
    const int64_t across = layout.x.count;
    layout.held = patches.shape[0] / across;
    require(layout.held > 0 && patches.shape[0] % across == 0, name, patches,
            "whole rows of " + std::to_string(across) + " patches");
    if (row_begin < 0 || row_begin > row_end || row_end > height)
        throw py::value_error("row_begin and row_end must be rows of the scene, got " + std::to_string(row_begin) +
                              " and " + std::to_string(row_end));
    if (row_begin < row_end && layout.y.first(row_begin) < first_patch_row)
        throw py::value_error("rows from " + std::to_string(row_begin) + " on need patch row " +
                              std::to_string(layout.y.first(row_begin)) + ", the first one given is " +
                              std::to_string(first_patch_row));
    if (row_begin < row_end && layout.y.last(row_end - 1) - layout.y.first(row_begin) >= layout.held)
        throw py::value_error("rows " + std::to_string(row_begin) + " to " + std::to_string(row_end) +
                              " need more than the " + std::to_string(layout.held) + " patch rows that were given");
    return layout;
}

template <typename F>
MergeWindow<F> window_of(const TensorView& y, const TensorView& x, const std::optional<TensorView>& grid,
                         const TensorView& patches) {
    const DType dtype = std::is_same_v<F, double> ? DType::f64 : DType::f32;
    const auto check = [&](const TensorView& view, const char* name) {
        require(view.contiguous() && view.dtype == dtype, name, view, "contiguous and of the computed dtype");
        require_same_device(view, name, patches, "patches");
    };
    check(y, "window_y");
    check(x, "window_x");
    require(y.ndim == 1 && y.shape[0] == patches.shape[2], "window_y", y, "as long as a patch is high");
    require(x.ndim == 1 && x.shape[0] == patches.shape[3], "window_x", x, "as long as a patch is wide");
    if (!grid) return {y.as<const F>(), x.as<const F>(), nullptr};
    check(*grid, "window_2d");
    require(grid->ndim == 2 && grid->shape[0] == patches.shape[2] && grid->shape[1] == patches.shape[3], "window_2d",
            *grid, "of the size of a patch");
    return {y.as<const F>(), x.as<const F>(), grid->as<const F>()};
}

void merge_patches(const TensorView& patches, const TensorView& window_y, const TensorView& window_x,
                   const std::optional<TensorView>& window_2d, const TensorView& out, int64_t height, int64_t width,
                   std::pair<int64_t, int64_t> stride, const std::string& mode, int64_t first_patch_row,
                   int64_t row_begin, int64_t row_end, int threads) {
    const MergeLayout layout =
        layout_of(patches, "patches", height, width, stride, mode, first_patch_row, row_begin, row_end);
    require_output(out, "out", patches.dtype, patches, {layout.channels, row_end - row_begin, width});
    require_cuda_build(patches, "patches");
    if (out.numel() == 0) return;
    prefer_huge_pages(out);
    const auto launch = [&](auto element) {
        using T = decltype(element);
        const auto window = window_of<compute_t<T>>(window_y, window_x, window_2d, patches);
        py::gil_scoped_release nogil;
        if (!patches.cuda) return merge_patches_cpu<T>(patches.as<const T>(), window, layout, threads, out.as<T>());
#ifdef SARCORE_HAS_CUDA
        merge_patches_cuda<T>(patches.as<const T>(), window, layout, out.as<T>(), patches.device, patches.stream);
#endif
    };
    if (patches.dtype == DType::i16) return launch(int16_t{});
    dispatch_real(patches, "patches", launch);
}

void merge_patches_backward(const TensorView& gradient, const std::optional<TensorView>& patches,
                            const TensorView& window_y, const TensorView& window_x,
                            const std::optional<TensorView>& window_2d, const TensorView& out, int64_t height,
                            int64_t width, std::pair<int64_t, int64_t> stride, const std::string& mode,
                            int64_t first_patch_row, int64_t row_begin, int64_t row_end, int threads) {
    const MergeLayout layout = layout_of(out, "out", height, width, stride, mode, first_patch_row, row_begin, row_end);
    require(out.writable, "out", out, "writable");
    require(first_patch_row + layout.held <= layout.y.count, "out", out, "the gradient of patches of the scene");
    require(row_begin == row_end || layout.y.last(row_end - 1) < first_patch_row + layout.held, "out", out,
            "the gradient of all patches that the rows are made of");
    require_output(gradient, "gradient", out.dtype, out, {layout.channels, row_end - row_begin, width});
    require(patches.has_value() || layout.mode == MergeMode::mean, "patches", out, "given for this mode");
    if (patches) {
        require_same_shape(*patches, "patches", out, "out");
        require_same_device(*patches, "patches", out, "out");
        require(patches->contiguous() && patches->dtype == out.dtype, "patches", *patches,
                "contiguous, of out's dtype");
    }
    require_cuda_build(out, "out");
    if (out.numel() == 0) return;
    prefer_huge_pages(out);
    dispatch_floating(out, "gradient", [&](auto element) {
        using T = decltype(element);
        const auto window = window_of<compute_t<T>>(window_y, window_x, window_2d, out);
        const T* const values = patches ? patches->as<const T>() : nullptr;
        py::gil_scoped_release nogil;
        if (!out.cuda)
            return merge_patches_backward_cpu<T>(gradient.as<const T>(), values, window, layout, threads, out.as<T>());
#ifdef SARCORE_HAS_CUDA
        merge_patches_backward_cuda<T>(gradient.as<const T>(), values, window, layout, out.as<T>(), out.device,
                                       out.stream);
#endif
    });
}

}  // namespace

void bind_merge_patches(py::module_& m) {
    m.def("merge_patches", &merge_patches, py::arg("patches"), py::arg("window_y"), py::arg("window_x"),
          py::arg("window_2d").none(true), py::arg("out"), py::arg("height"), py::arg("width"), py::arg("stride"),
          py::arg("mode"), py::arg("first_patch_row"), py::arg("row_begin"), py::arg("row_end"), py::arg("threads"),
          "Writes rows row_begin to row_end of the scene that whole rows of patches make into out.");
    m.def("merge_patches_backward", &merge_patches_backward, py::arg("gradient"), py::arg("patches").none(true),
          py::arg("window_y"), py::arg("window_x"), py::arg("window_2d").none(true), py::arg("out"), py::arg("height"),
          py::arg("width"), py::arg("stride"), py::arg("mode"), py::arg("first_patch_row"), py::arg("row_begin"),
          py::arg("row_end"), py::arg("threads"),
          "Writes the gradient of merge_patches with respect to the patches into out.");
}

}  // namespace sarcore
