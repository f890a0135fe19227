// SPDX-License-Identifier: MIT
#pragma once

// As reactor/export.hpp, for the library reactor::loop. The build sets REACTOR_LOOP_BUILDING while it compiles that.
#if !defined(REACTOR_SHARED)
#define REACTOR_LOOP_API
#elif !defined(_WIN32)
#define REACTOR_LOOP_API __attribute__((visibility("default")))
#elif defined(REACTOR_LOOP_BUILDING)
#define REACTOR_LOOP_API __declspec(dllexport)
#else
#define REACTOR_LOOP_API __declspec(dllimport)
#endif
