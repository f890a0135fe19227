// SPDX-License-Identifier: MIT
// A Poller inside a GLib program (Linux): the main loop watches the Poller's descriptor as a source among others.
#include <array>
#include <cstdio>
#include <string_view>

#include <glib-unix.h>

#include "echo_service.hpp"

namespace {

struct Client {
  GMainLoop* loop;
  reactor::TcpStream stream;
  bool is_right = false;
};

gboolean run_service(gint, GIOCondition, gpointer service) {
  static_cast<EchoService*>(service)->run();
  return G_SOURCE_CONTINUE;
}

gboolean read_answer(gint, GIOCondition, gpointer data) {
  auto& client = *static_cast<Client*>(data);
  std::array<char, 16> answer{};
  const auto size = client.stream.receive(std::as_writable_bytes(std::span(answer)));
  client.is_right = size && std::string_view(answer.data(), *size) == "hello";
  g_main_loop_quit(client.loop);
  return G_SOURCE_REMOVE;
}

gboolean give_up(gpointer loop) {
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
  g_unix_fd_add(client.stream.native(), G_IO_IN, read_answer, &client);
  g_timeout_add_seconds(30, give_up, loop);
  service.run();  // accepts: over loopback the connection is made
  const bool is_sent = client.stream.send(std::as_bytes(std::span("hello", 5))) == 5U;

  if (is_sent) g_main_loop_run(loop);
  g_main_loop_unref(loop);
  std::printf("%s inside_glib\n", client.is_right ? "PASS" : "FAIL");
  return client.is_right ? 0 : 1;
}
