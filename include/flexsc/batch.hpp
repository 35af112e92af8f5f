// SPDX-License-Identifier: MIT
/// @file
/// Batch segments with ESCA's meaning (Cheng et al., PDP 2022): between batch_start()
/// and batch_flush(), calls of the kinds that ESCA batches are recorded instead of
/// made and answer as if they had succeeded; the flush makes them all in one crossing.
/// Unlike ESCA, results are kept and no error or short transfer is lost.
#pragma once

#include <cstddef>
#include <span>

#include "flexsc/engine.hpp"

namespace flexsc {

/// A recorded call that did not do what its caller was told.
struct BatchFailure {
  Call call;          ///< as it was recorded; what it points to may be gone
  long promised = 0;  ///< what the caller was told (a byte count, or 0)
  long result = 0;    ///< what happened: fewer bytes, or -errno
};

/// Outcome of a segment. `failures` is valid until the thread's next batch_start().
struct BatchResult {
  std::size_t executed = 0;
  std::span<const BatchFailure> failures;
};

/// Opens a segment in the calling thread on `engine` (engine `kernel`: one crossing per
/// flush; other engines: one per call). Segments do not nest: EBUSY. Returns 0 or an errno.
[[nodiscard]] int batch_start(Engine& engine);

/// Executes the recorded calls in order and closes the segment. Without a segment,
/// returns an empty result. The buffers of recorded calls must be unchanged until then;
/// vectors and message headers are copied. A thread that ends in a segment makes none of
/// the calls recorded since its last flush.
[[nodiscard]] BatchResult batch_flush();

/// Whether the calling thread has an open segment.
[[nodiscard]] bool in_batch() noexcept;

/// Records a call in the open segment, if it is of a kind that can be deferred (write,
/// writev, send, sendto without address, sendmsg, sendfile with a null offset pointer,
/// shutdown, close), and returns true with the promised result. A full segment is
/// flushed first, its failures kept for batch_flush(). Any other call flushes what is
/// recorded, so that order is kept, and returns false: make it directly.
[[nodiscard]] bool batch_record(const Call& call, long& promised);

/// Crossings made by flushes of the calling thread so far.
[[nodiscard]] std::uint64_t batch_crossings() noexcept;

}  // namespace flexsc
