// SPDX-License-Identifier: MIT
// A Poller inside a GLib program (Linux): the main loop watches the Poller's descriptor like any other source.
#include <array>
#include <cstdio>
#include <string_view>

#include <glib-unix.h>

#include "echo_service.hpp"

namespace {

struct Client {
  GMainLoop* loop;
  reactor::TcpStream stream;
  bool is_reply_right = false;
};

gboolean run_service(gint, GIOCondition, gpointer service) {
  static_cast<EchoService*>(service)->run();
  return G_SOURCE_CONTINUE;
}

gboolean read_reply(gint, GIOCondition, gpointer data) {
  auto& client = *static_cast<Client*>(data);
  std::array<char, 16> reply{};
  const auto size = client.stream.receive(std::as_writable_bytes(std::span(reply)));
  client.is_reply_right = size && std::string_view(reply.data(), *size) == "hello";
  g_main_loop_quit(client.loop);
  return G_SOURCE_REMOVE;
}

gboolean on_timeout(gpointer loop) {
  g_main_loop_quit(static_cast<GMainLoop*>(loop));
  return G_SOURCE_REMOVE;
}

}  // namespace

int main() {
  EchoService service;
  GMainLoop* const loop = g_main_loop_new(nullptr, FALSE);
  g_unix_fd_add(service.handle(), G_IO_IN, run_service, &service);

  auto stream = reactor::TcpStream::connect(service.address());
  if (!stream) return 1;
  Client client{.loop = loop, .stream = std::move(*stream)};
  g_unix_fd_add(client.stream.native(), G_IO_IN, read_reply, &client);
  g_timeout_add_seconds(30, on_timeout, loop);
  service.run();  // accepts the connection
  const bool is_sent = client.stream.send(std::as_bytes(std::span("hello", 5))) == 5U;

  if (is_sent) g_main_loop_run(loop);
  g_main_loop_unref(loop);
  std::printf("%s inside_glib\n", client.is_reply_right ? "PASS" : "FAIL");
  return client.is_reply_right ? 0 : 1;
}
