// SPDX-License-Identifier: MIT
#include "flexsc/batch.hpp"
