// What the back ends of the histogram loss offer to the bindings.
#pragma once

#include "histogram_loss/formula.h"

namespace sarcore {

// x, y: images.count * images.pixels elements; loss: images.count / channels; table: images.count * (bins + 1).
template <typename T>
void histogram_loss_cpu(const T* x, const T* y, const uint8_t* mask, Images images, LossSettings settings, int threads,
                        compute_t<T>* loss, compute_t<T>* table);

// out_x or out_y may be null: that gradient is not wanted.
template <typename T>
void histogram_loss_backward_cpu(const compute_t<T>* gradient, const T* x, const T* y, const uint8_t* mask,
                                 const compute_t<T>* table, Images images, LossSettings settings, int threads, T* out_x,
                                 T* out_y);

// Per chunk: a difference histogram (bins words of 8 bytes), the sum of the residuals and the count of valid pixels;
// per image the mean loss.
inline int64_t histogram_loss_workspace(Images images, int bins) {
    return images.count * (images.chunks() * (bins + 2) + 1) * 8;
}

template <typename T>
void histogram_loss_cuda(const T* x, const T* y, const uint8_t* mask, Images images, LossSettings settings,
                         void* workspace, compute_t<T>* loss, compute_t<T>* table, int device, void* stream);
template <typename T>
void histogram_loss_backward_cuda(const compute_t<T>* gradient, const T* x, const T* y, const uint8_t* mask,
                                  const compute_t<T>* table, Images images, LossSettings settings, T* out_x, T* out_y,
                                  int device, void* stream);

}  // namespace sarcore
