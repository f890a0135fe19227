// SPDX-License-Identifier: MIT
#pragma once

/// The version of these headers, the same as CMake's: configuring fails where they differ.
#define REACTOR_VERSION_MAJOR 0
#define REACTOR_VERSION_MINOR 2
#define REACTOR_VERSION_PATCH 0

/// For comparisons in the preprocessor: `#if REACTOR_VERSION >= 102` is 0.1.2 or later.
#define REACTOR_VERSION (REACTOR_VERSION_MAJOR * 10000 + REACTOR_VERSION_MINOR * 100 + REACTOR_VERSION_PATCH)
