// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// All public headers.
#include <reactor/address.hpp>  // IWYU pragma: export
#include <reactor/clock.hpp>    // IWYU pragma: export
#include <reactor/event.hpp>    // IWYU pragma: export
#include <reactor/format.hpp>   // IWYU pragma: export
#include <reactor/poller.hpp>   // IWYU pragma: export
#include <reactor/result.hpp>   // IWYU pragma: export
#include <reactor/socket.hpp>   // IWYU pragma: export
#include <reactor/version.hpp>  // IWYU pragma: export

/// The library: Poller, Registration, Waker, Event, sockets and Result.
namespace reactor {}
