# The simulated NT kernel and its network, of reactor::sim, and for the model check, the fuzzers and the sweep, which run the
# AFD backend over it.
add_library(reactor_sim_objects OBJECT EXCLUDE_FROM_ALL sim/sim_answer.cpp sim/sim_core.cpp sim/sim_endpoint.cpp sim/sim_kernel.cpp sim/sim_net.cpp
    sim/sim_notify.cpp sim/sim_objects.cpp sim/sim_poll.cpp sim/sim_seen.cpp sim/sim_stack.cpp sim/sim_wire.cpp)
target_include_directories(reactor_sim_objects PRIVATE "${PROJECT_SOURCE_DIR}")
target_compile_features(reactor_sim_objects PRIVATE cxx_std_23)
if(PROJECT_IS_TOP_LEVEL)
  target_link_libraries(reactor_sim_objects PRIVATE reactor_build_options)
endif()
# Sources that are in several libraries are compiled with the same options, so a compiler cache compiles them once.
set(as_in_the_library CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
set_target_properties(reactor_sim_objects PROPERTIES ${as_in_the_library})
if(REACTOR_TESTS OR REACTOR_FUZZ OR REACTOR_BENCH)
  add_library(reactor_sim_kernel STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:reactor_sim_objects>)
  target_link_libraries(reactor_sim_kernel PUBLIC reactor::reactor PRIVATE reactor_build_options)
endif()

if(NOT REACTOR_SIM)
  return()
endif()

# reactor::sim: what a program links instead of reactor::reactor to run in a simulation. The same sources, but for what
# is the system's: sockets, the clock and the backend.
set(sim_headers sim/check.hpp sim/world.hpp)
add_library(reactor_sim STATIC ${unless_linked}
  address.cpp event.cpp format.cpp poller.cpp result.cpp socket.cpp nt/functions.cpp nt/status.cpp $<$<BOOL:${WIN32}>:nt/mutex.cpp>
  ${afd_sources} notify/notifications.cpp notify/notify_backend.cpp
  net/sim_ip_text.cpp net/sim_socket.cpp $<TARGET_OBJECTS:reactor_sim_objects>
  sim/check.cpp sim/check_processes.cpp sim/fiber.cpp sim/network.cpp sim/pcapng.cpp sim/scheduler.cpp sim/sequence_chart.cpp sim/signal.cpp sim/sim_backend.cpp
  sim/sim_epoll.cpp sim/sockaddr.cpp sim/trace.cpp sim/world.cpp)
add_library(reactor::sim ALIAS reactor_sim)
set_target_properties(reactor_sim PROPERTIES EXPORT_NAME sim ${as_in_the_library})
target_sources(reactor_sim PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${public_headers} ${sim_headers})
target_compile_features(reactor_sim PUBLIC cxx_std_23)
if(PROJECT_IS_TOP_LEVEL)
  target_compile_options(reactor_sim PRIVATE $<TARGET_PROPERTY:reactor_build_options,INTERFACE_COMPILE_OPTIONS>)
  target_compile_definitions(reactor_sim PRIVATE $<TARGET_PROPERTY:reactor_build_options,INTERFACE_COMPILE_DEFINITIONS>)
endif()
if(NOT WIN32)
  target_link_libraries(reactor_sim PRIVATE Threads::Threads)
endif()
