// SPDX-License-Identifier: MIT
/// @file
/// What the bytes of an input mean. The first says how it begins and ends; behind it, each
/// operation is a byte that says what is done, and those of its parameters.
#pragma once

#include <cstdint>
#include <span>

#include "coverage.hpp"

namespace flexsc_fuzz {

/// Does what the input says in the calling process, which has to be one of its own and may end in
/// the middle. program: a descriptor of a program without libraries that it may become, or -1.
void play(std::span<const std::uint8_t> input, const Coverage& coverage, int program);

}  // namespace flexsc_fuzz
