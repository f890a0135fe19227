// SPDX-License-Identifier: MIT
// `import reactor;`: what the public headers directly in reactor/ declare, and nothing else. Macros (REACTOR_VERSION) cannot
// be exported: include <reactor/version.hpp> for them. scripts/interface.py writes the list and compares it with the headers.
module;

#include <reactor/reactor.hpp>

export module reactor;

export namespace reactor {
using reactor::Address;
using reactor::BackendKind;
using reactor::BindOptions;
using reactor::Clock;
using reactor::Completion;
using reactor::Event;
using reactor::Events;
using reactor::Interest;
using reactor::Mode;
using reactor::NativeHandle;
using reactor::NativeSocket;
using reactor::Poller;
using reactor::PollerOptions;
using reactor::Readiness;
using reactor::Registration;
using reactor::Result;
using reactor::Shutdown;
using reactor::Socket;
using reactor::Stats;
using reactor::TcpListener;
using reactor::TcpStream;
using reactor::Token;
using reactor::UdpSocket;
using reactor::Waker;
using reactor::error_category;
using reactor::failure;
using reactor::invalid_socket;
using reactor::operator&;
using reactor::operator&=;
using reactor::operator|;
using reactor::operator|=;
using reactor::operator~;
using reactor::to_string;
}  // namespace reactor

#ifdef __cpp_lib_format
namespace reactor::detail {
/// An importer of the module has the formatters because something here needs them.
template <class... Types>
struct Formatters : std::formatter<Types, char>... {};
inline constexpr bool has_formatters = sizeof(Formatters<Interest, Readiness, Event, Address>) > 0;
}  // namespace reactor::detail
#endif
