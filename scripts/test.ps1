<#
.SYNOPSIS
Builds and passes all tests on Windows: the gates, each of their --break switches, and the library's tests.
.DESCRIPTION
Needs CMake 3.25 or later, a compiler, and doctest: from vcpkg (used when VCPKG_ROOT or VCPKG_INSTALLATION_ROOT is set),
or from wherever CMAKE_PREFIX_PATH points.
.PARAMETER Preset
windows-msvc (default), windows-clang-cl or windows-mingw.
#>
param([ValidateSet('windows-msvc', 'windows-clang-cl', 'windows-mingw')][string]$Preset = 'windows-msvc')
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..')

$configure = @('--preset', $Preset)
$vcpkg = if ($env:VCPKG_INSTALLATION_ROOT) { $env:VCPKG_INSTALLATION_ROOT } else { $env:VCPKG_ROOT }
if ($vcpkg -and -not $env:CMAKE_PREFIX_PATH) {
  # One header: any triplet serves. If this vcpkg cannot install it, CMake says below what is missing.
  & (Join-Path $vcpkg 'vcpkg.exe') install doctest --triplet x64-windows --host-triplet x64-windows --classic | Out-Host
  $configure += "-DCMAKE_PREFIX_PATH=$(Join-Path $vcpkg 'installed/x64-windows')"
}
$steps = @(
  @{ program = 'cmake'; arguments = $configure }
  @{ program = 'cmake'; arguments = @('--build', '--preset', $Preset) }
  @{ program = 'ctest'; arguments = @('--preset', $Preset) }
)
foreach ($step in $steps) {
  $program, $arguments = $step.program, $step.arguments
  & $program @arguments | Out-Host
  if ($LASTEXITCODE -ne 0) {
    Write-Host "FAIL tests: $Preset, at: $program $arguments"
    exit 1
  }
}
Write-Host "PASS tests: $Preset"
exit 0
