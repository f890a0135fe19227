#!/usr/bin/env python3
"""Checks what packaging/ has for vcpkg and Conan without these tools: stubs stand for what the recipes call, and run the CMake
commands that the tools would run. What is installed is then used by Conan's test_package.

usage: check_recipes.py           versions, options and the form of the files
       check_recipes.py --build   also all that the recipes do
"""
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent
VCPKG, CONAN = ROOT / "packaging/vcpkg", ROOT / "packaging/conan"
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
VERSION = re.search(r"^project\(reactor VERSION ([\d.]+)", CMAKE, re.MULTILINE)[1]
OPTIONS = set(re.findall(r"^(?:option\(|set\((?=REACTOR_\w+ \w+ CACHE))(REACTOR_\w+)", CMAKE + (ROOT / "reactor/modules/modules.cmake").read_text(encoding="utf-8"), re.MULTILINE))
UNOPTIMIZED = "-DCMAKE_CXX_FLAGS_RELEASE=-O0"  # it is about what is built and installed, and takes half the time
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*$")
# The fields of vcpkg.json and of a feature, with their types, by vcpkg's reference.
FIELDS = {"$schema": str, "name": str, "version": str, "version-semver": str, "port-version": int, "description": (str, list),
          "homepage": str, "documentation": str, "license": (str, type(None)), "maintainers": (str, list), "supports": str,
          "dependencies": list, "default-features": list, "features": dict}
FEATURE_FIELDS = {"description": (str, list), "supports": str, "dependencies": list, "license": (str, type(None))}
STUBS = """
set(CURRENT_PACKAGES_DIR "{work}/packages")
set(PORT reactor)
set(VERSION {version})
set(CMAKE_CURRENT_LIST_DIR "{vcpkg}")
function(vcpkg_from_github)
  set(SOURCE_PATH "{root}" PARENT_SCOPE)
endfunction()
function(vcpkg_check_features)
  cmake_parse_arguments(PARSE_ARGV 0 a "" OUT_FEATURE_OPTIONS FEATURES)
  set(options "")
  while(a_FEATURES)
    list(POP_FRONT a_FEATURES feature variable)
    set(value OFF)
    if(feature IN_LIST FEATURES)
      set(value ON)
    endif()
    list(APPEND options "-D${{variable}}=${{value}}")
  endwhile()
  set(${{a_OUT_FEATURE_OPTIONS}} "${{options}}" PARENT_SCOPE)
endfunction()
function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 a "" SOURCE_PATH OPTIONS)
  execute_process(COMMAND ${{CMAKE_COMMAND}} -S "${{a_SOURCE_PATH}}" -B "{work}/build" -G Ninja -DCMAKE_BUILD_TYPE=Release {unoptimized}
    -DBUILD_SHARED_LIBS=OFF "-DCMAKE_INSTALL_PREFIX=${{CURRENT_PACKAGES_DIR}}" ${{a_OPTIONS}} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
function(vcpkg_cmake_install)
  execute_process(COMMAND ${{CMAKE_COMMAND}} --build "{work}/build" --target install COMMAND_ERROR_IS_FATAL ANY)
endfunction()
function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(PARSE_ARGV 0 a "" "PACKAGE_NAME;CONFIG_PATH" "")
  if(NOT EXISTS "${{CURRENT_PACKAGES_DIR}}/${{a_CONFIG_PATH}}/${{a_PACKAGE_NAME}}Config.cmake")
    message(FATAL_ERROR "no ${{a_PACKAGE_NAME}}Config.cmake in ${{a_CONFIG_PATH}}")
  endif()
endfunction()
function(vcpkg_fixup_pkgconfig)
endfunction()
function(vcpkg_copy_pdbs)
endfunction()
function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 a "" "" FILE_LIST)
  file(INSTALL ${{a_FILE_LIST}} DESTINATION "${{CURRENT_PACKAGES_DIR}}/share/${{PORT}}")
endfunction()
include("{vcpkg}/portfile.cmake")
"""


def fail(text):
    sys.exit(f"FAIL recipes: {text}")


def check(condition, text):
    if not condition:
        fail(text)


def run(*command):
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    check(done.returncode == 0, f"exit code {done.returncode} from {' '.join(map(str, command))}\n{done.stdout[-4000:]}")


def check_fields(where, values, fields):
    for key, value in values.items():
        check(key in fields, f"{where}: vcpkg knows no field {key!r}")
        check(isinstance(value, fields[key]), f"{where}: {key} has the wrong type")


def check_manifest():
    manifest = json.loads((VCPKG / "vcpkg.json").read_text(encoding="utf-8"))
    check_fields("vcpkg.json", manifest, FIELDS)
    check(manifest["name"] == "reactor" and NAME.match(manifest["name"]), "vcpkg.json: the name")
    check(manifest.get("version") == VERSION, f"vcpkg.json: the version is not {VERSION}")
    check(("version" in manifest) + ("version-semver" in manifest) == 1, "vcpkg.json: one version field")
    for feature, values in manifest["features"].items():
        check(NAME.match(feature) and "description" in values, f"vcpkg.json: feature {feature}")
        check_fields(f"vcpkg.json, feature {feature}", values, FEATURE_FIELDS)
    check(set(manifest["default-features"]) <= set(manifest["features"]), "vcpkg.json: a default feature that is none")
    for where in (manifest, *manifest["features"].values()):
        for dependency in where.get("dependencies", []):
            dependency = {"name": dependency} if isinstance(dependency, str) else dependency
            check(NAME.match(dependency["name"]), "vcpkg.json: a dependency's name")
            check(dependency["name"] != "reactor" or set(dependency["features"]) <= set(manifest["features"]),
                  "vcpkg.json: it depends on a feature of its own that is none")
    portfile = (VCPKG / "portfile.cmake").read_text(encoding="utf-8")
    mapped = re.search(r"FEATURES\n(.*?)\)", portfile, re.DOTALL)[1].split()
    check(set(mapped[::2]) == set(manifest["features"]), "portfile.cmake maps other features than vcpkg.json has")
    for option in re.findall(r"REACTOR_\w+", portfile):
        check(option in OPTIONS, f"portfile.cmake: CMakeLists.txt has no option {option}")
    return list(manifest["features"])


def build_port(features, work):
    script = work / "port.cmake"
    text = STUBS.format(work=work, version=VERSION, vcpkg=VCPKG, root=ROOT, unoptimized=UNOPTIMIZED)
    script.write_text(f"cmake_minimum_required(VERSION 3.25)\nset(FEATURES {';'.join(features)})\n" + text, encoding="utf-8")
    run("cmake", "-P", script)
    for file in ("share/reactor/usage", "share/reactor/LICENSE", "lib/libreactor.a", "lib/libreactor_loop.a", "lib/libreactor_sim.a"):
        check((work / "packages" / file).exists(), f"the port installs no {file}")
    check_c_ares(work / "packages", True)
    build_app(work, work / "packages")


def check_c_ares(prefix, wanted):
    library = next((prefix / "lib").glob("libreactor_loop.*"))
    symbols = subprocess.run(["nm", "-u", *([] if library.suffix == ".a" else ["-D"]), library], text=True, check=True,
                             stdout=subprocess.PIPE).stdout
    check((" ares_init_options" in symbols) == wanted, f"{library.name} {'does not call' if wanted else 'calls'} c-ares")


def build_app(work, prefix):
    run("cmake", "-S", CONAN / "test_package", "-B", work / "app", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", work / "app")
    run(work / "app/app")


class Options(dict):
    """Conan's options: attributes, and what may not be there."""

    def __getattr__(self, name):
        check(name in self, f"conanfile.py asks for the option {name}, which it has not")
        return self[name]

    def __delattr__(self, name):
        del self[name]

    def rm_safe(self, name):
        self.pop(name, None)

    def get_safe(self, name, default=None):
        return self.get(name, default)


class Info(types.SimpleNamespace):
    """Conan's cpp_info and its components."""

    def __init__(self):
        super().__init__(properties={}, components={}, libs=[], requires=[], system_libs=[], defines=[])

    def set_property(self, name, value):
        self.properties[name] = value


class Components(dict):
    def __missing__(self, name):
        self[name] = Info()
        return self[name]


def stub_conan(work):
    class CMake:
        def __init__(self, recipe):
            self.recipe = recipe

        def configure(self):
            variables = {**self.recipe.toolchain, "BUILD_SHARED_LIBS": self.recipe.options.shared}
            run("cmake", "-S", self.recipe.source_folder, "-B", work / "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", UNOPTIMIZED,
                f"-DCMAKE_INSTALL_PREFIX={self.recipe.package_folder}", f"-DCMAKE_PREFIX_PATH={work}/config", *(f"-D{n}={'ON' if v else 'OFF'}" for n, v in variables.items()))

        def build(self):
            run("cmake", "--build", work / "build")

        def install(self):
            run("cmake", "--install", work / "build")

    class CMakeToolchain:
        def __init__(self, recipe):
            self.recipe, self.cache_variables = recipe, {}

        def generate(self):
            self.recipe.toolchain = self.cache_variables

    def copy(_, pattern, src, dst):
        files = [f for f in pathlib.Path(src).glob(pattern if not pattern.endswith("/*") else pattern + "*/*") if f.is_file()]
        check(files, f"conanfile.py copies {pattern}, which is nothing")
        for file in files:
            to = pathlib.Path(dst) / file.relative_to(pathlib.Path(src).resolve() if file.is_absolute() and ".." not in str(src) else src)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, to)

    class ConanFile:
        def __init__(self):
            self.required = []

        def requires(self, reference):
            check(re.fullmatch(r"[a-z0-9-]+/\[[^\]]+\]", reference), f"conanfile.py requires {reference}")
            self.required.append(reference.split("/")[0])

    names = {"conan": {"ConanFile": ConanFile},
             "conan.tools": {}, "conan.tools.build": {"check_min_cppstd": lambda *_: None, "can_run": lambda _: True},
             "conan.tools.cmake": {"CMake": CMake, "CMakeToolchain": CMakeToolchain, "cmake_layout": lambda _: None},
             "conan.tools.files": {"copy": copy, "rmdir": lambda _, folder: shutil.rmtree(folder, ignore_errors=True)}}
    for name, values in names.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(values)


def load(path):
    spec = importlib.util.spec_from_file_location(path.parent.name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return next(c for c in vars(module).values() if isinstance(c, type) and c.__module__ == spec.name)


def recipe_for(work, os, **chosen):
    recipe = load(CONAN / "conanfile.py")()
    check(recipe.version == VERSION, f"conanfile.py: the version is not {VERSION}")
    for name, value in recipe.default_options.items():
        check(value in recipe.options[name], f"conanfile.py: the default of {name}")
    recipe.options = Options({**recipe.default_options, **chosen})
    recipe.settings = types.SimpleNamespace(os=os)
    recipe.recipe_folder, recipe.export_sources_folder = str(CONAN), str(work / "sources")
    recipe.source_folder, recipe.package_folder = str(work / "sources"), str(work / "package")
    recipe.cpp_info = Info()
    recipe.cpp_info.components = Components()
    recipe.config_options()
    recipe.configure()
    recipe.requirements()
    recipe.validate()
    recipe.layout()
    recipe.generate()
    for option in recipe.toolchain:
        check(option in OPTIONS, f"conanfile.py: CMakeLists.txt has no option {option}")
    recipe.package_info()
    used = set()
    for name, component in recipe.cpp_info.components.items():
        check(component.properties["cmake_target_name"] == f"reactor::{name}", f"conanfile.py: the target of {name}")
        outside = {r for r in component.requires if "::" in r}
        check(set(component.requires) - outside <= set(recipe.cpp_info.components), f"conanfile.py: {name} requires what is not there")
        used |= {r.split("::")[0] for r in outside}
    check(used == set(recipe.required), f"conanfile.py requires {recipe.required}, its components {used}")
    check(bool(used) == bool(recipe.toolchain["REACTOR_CARES"]), "conanfile.py: REACTOR_CARES without c-ares, or the other way round")
    return recipe


def config_of(recipe):
    """What Conan generates of package_info for those who find_package."""
    lines = [f"find_package({name} REQUIRED CONFIG)" for name in recipe.required]
    for name, component in recipe.cpp_info.components.items():
        lines.append(f"add_library(reactor::{name} {'UNKNOWN' if component.libs else 'INTERFACE'} IMPORTED)")
        for lib in component.libs:
            file = next(pathlib.Path(recipe.package_folder, "lib").glob(f"lib{lib}.*"))
            lines.append(f"set_target_properties(reactor::{name} PROPERTIES IMPORTED_LOCATION {file})")
        needed = [r if "::" in r else f"reactor::{r}" for r in component.requires] + component.system_libs
        lines.append(f"set_target_properties(reactor::{name} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES {recipe.package_folder}/include"
                     f" INTERFACE_COMPILE_DEFINITIONS \"{';'.join(component.defines)}\" INTERFACE_LINK_LIBRARIES \"{';'.join(needed)}\")")
    return "\n".join(lines)


# c-ares as Conan's CMakeDeps describes it, found by the recipe's own build and by those who use the package.
C_ARES = """if(NOT TARGET c-ares::cares)
  add_library(c-ares::cares INTERFACE IMPORTED)
  target_link_libraries(c-ares::cares INTERFACE cares)
endif()
"""


def build_conan(work, **options):
    recipe = recipe_for(work, "Linux", **options)
    (work / "config").mkdir()
    if recipe.required:
        (work / "config/c-ares-config.cmake").write_text(C_ARES, encoding="utf-8")
        (work / "config/c-ares-config-version.cmake").write_text('set(PACKAGE_VERSION "1.18.1")\n', encoding="utf-8")
    recipe.export_sources()
    recipe.build()
    recipe.package()
    check((work / "package/licenses/LICENSE").exists(), "the Conan package has no licence")
    check_c_ares(work / "package", bool(recipe.required))
    (work / "config/reactorConfig.cmake").write_text(config_of(recipe), encoding="utf-8")
    build_app(work, work / "config")


def main():
    features = check_manifest()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        stub_conan(work)
        load(CONAN / "test_package/conanfile.py")
        for os in ("Linux", "Windows"):
            for shared in (False, True):
                for loop in (False, True):
                    for c_ares in (False, True):
                        recipe = recipe_for(work, os, shared=shared, loop=loop, c_ares=c_ares)
                        check(bool(recipe.required) == (c_ares and loop), "conanfile.py: what it requires")
        if "--build" in sys.argv[1:]:
            (work / "port").mkdir()
            build_port(features, work / "port")
            for shared in (False, True):
                folder = work / f"conan{shared}"
                folder.mkdir()
                stub_conan(folder)
                build_conan(folder, shared=shared, sim=not shared, c_ares=not shared)
    print("PASS recipes: vcpkg's and Conan's" + (", built by stubs and used" if "--build" in sys.argv[1:] else ", their form"))


main()
