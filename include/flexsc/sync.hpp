// SPDX-License-Identifier: MIT
/// @file
/// Synchronisation for fibers, usable from plain threads as well (which block): everything.
#pragma once

#include "flexsc/barrier.hpp"
#include "flexsc/channel.hpp"
#include "flexsc/condition_variable.hpp"
#include "flexsc/latch.hpp"
#include "flexsc/mutex.hpp"
#include "flexsc/semaphore.hpp"
