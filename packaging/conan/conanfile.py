"""A recipe for Conan 2: `conan create packaging/conan`, in a clone of the repository."""
import os

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, rmdir

required_conan_version = ">=2.0"


class ReactorConan(ConanFile):
    name = "reactor"
    version = "0.2.0"
    license = "MIT"
    description = "Readiness for Windows and Linux: a reactor on AFD_POLL and epoll"
    topics = ("epoll", "reactor", "sockets", "coroutines", "afd")
    package_type = "library"
    generators = "CMakeDeps"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False], "loop": [True, False], "sim": [True, False],
               "c_ares": [True, False]}
    default_options = {"shared": False, "fPIC": True, "loop": True, "sim": False, "c_ares": False}

    def export_sources(self):
        root = os.path.join(self.recipe_folder, os.pardir, os.pardir)
        for pattern in ("CMakeLists.txt", "LICENSE", "README.md", "CHANGELOG.md", "cmake/*", "reactor/*", "docs/*.md", "scripts/*"):
            copy(self, pattern, src=root, dst=self.export_sources_folder)

    def config_options(self):
        if self.settings.os == "Windows":
            del self.options.fPIC

    def configure(self):
        if self.options.shared:
            self.options.rm_safe("fPIC")
        if not self.options.loop:
            self.options.rm_safe("c_ares")

    def requirements(self):
        if self.options.get_safe("c_ares", False):
            self.requires("c-ares/[>=1.16 <2]")

    def validate(self):
        check_min_cppstd(self, 23)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        for name in ("TESTS", "EXAMPLES", "GATES", "MODULE"):
            toolchain.cache_variables[f"REACTOR_{name}"] = False
        toolchain.cache_variables["REACTOR_LOOP"] = bool(self.options.loop)
        toolchain.cache_variables["REACTOR_SIM"] = bool(self.options.sim)
        toolchain.cache_variables["REACTOR_CARES"] = bool(self.options.get_safe("c_ares", False))
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", src=self.source_folder, dst=os.path.join(self.package_folder, "licenses"))
        rmdir(self, os.path.join(self.package_folder, "share"))
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))  # Conan generates its own
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "reactor")
        self._component("reactor", ["reactor"], [])
        self.cpp_info.components["reactor"].set_property("pkg_config_name", "reactor")
        if self.options.shared:
            self.cpp_info.components["reactor"].defines = ["REACTOR_SHARED"]
        # A header alone on Linux; a DLL of it has all that it needs.
        windows = self.settings.os == "Windows"
        self._component("epoll", ["reactor_epoll"] if windows else [], [] if self.options.shared else ["reactor"])
        if self.options.loop:
            c_ares = ["c-ares::cares"] if self.options.get_safe("c_ares", False) else []
            self._component("loop", ["reactor_loop"], ["reactor", *c_ares])
        if self.options.sim:
            self._component("sim", ["reactor_sim"], [])  # in place of reactor
            if self.options.loop:
                self._component("loop_sim", ["reactor_loop_sim"], ["sim"])

    def _component(self, name, libraries, requires):
        component = self.cpp_info.components[name]
        component.set_property("cmake_target_name", f"reactor::{name}")
        component.libs = libraries
        component.requires = requires
        component.system_libs = ["ws2_32"] if self.settings.os == "Windows" else ["pthread"]
