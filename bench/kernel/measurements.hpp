// SPDX-License-Identifier: MIT
/// @file
/// What flexsc-bench-kernel can measure. The keys are those of ./run bench kernel.
#pragma once

#include "program.hpp"

namespace flexsc::bench {

// One CPU, where the clock counts instructions.
nlohmann::json flush64(Context& context);
nlohmann::json flush1024(Context& context);
nlohmann::json breakeven_flush(Context& context);
nlohmann::json breakeven_wait(Context& context);
nlohmann::json post_reap(Context& context);
nlohmann::json table(Context& context);
nlohmann::json copy4096(Context& context);
nlohmann::json copy512(Context& context);
nlohmann::json sizes(Context& context);
nlohmann::json copy_sizes(Context& context);
nlohmann::json writes60(Context& context);

// Several CPUs.
nlohmann::json breakeven_other(Context& context);
nlohmann::json single_other(Context& context);
nlohmann::json sizes_other(Context& context);
nlohmann::json workers2(Context& context);
nlohmann::json workers(Context& context);
nlohmann::json indirect(Context& context);
nlohmann::json parked(Context& context);

}  // namespace flexsc::bench
