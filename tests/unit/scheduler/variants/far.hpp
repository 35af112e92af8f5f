// SPDX-License-Identifier: MIT
/// @file
/// What the other file of the program has: without whole-program optimisation the compiler sees
/// none of it, with it all.
#pragma once

#include <string>

#include "flexsc/fiber.hpp"

namespace flexsc::variants {

extern thread_local int of_thread;

/// Fails with that error, by a call that may switch.
int fail_with_ebadf();
int fail_with_enoent();
/// Throws it, after switches.
[[noreturn]] void throw_after_yields(int number);
/// what() of the exception that is being handled.
std::string handled();
/// Of the calling thread.
long thread_id();
/// Returns in another thread. In a migratable fiber of a runtime with two carriers; alone.
void move(Runtime& runtime);

}  // namespace flexsc::variants
