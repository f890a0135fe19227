<#
.SYNOPSIS
Builds the gates and the conformance suite kernel_test, runs them in order, stops at the first red one, prints a
table, and writes all facts to build\gates.json.
.DESCRIPTION
The suite needs doctest: from vcpkg (used when VCPKG_ROOT or VCPKG_INSTALLATION_ROOT is set), or from wherever
CMAKE_PREFIX_PATH points. Without doctest the gates run alone.
.PARAMETER Preset
windows-msvc (default), windows-clang-cl or windows-mingw.
.PARAMETER DeadlineSeconds
A program that runs longer is ended and counts as red.
#>
param(
  [ValidateSet('windows-msvc', 'windows-clang-cl', 'windows-mingw')][string]$Preset = 'windows-msvc',
  [int]$DeadlineSeconds = 300)
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..')
$folder = Join-Path 'build' $Preset
$gates = 'stage0_wake', 'stage1_accept', 'stage2_echo', 'stage3_stress', 'stage4_notify'

# Runs a program: its lines and its exit code, which is null when it was ended at the deadline.
function Invoke-Program([string]$path, [string[]]$arguments) {
  $file = [IO.Path]::GetTempFileName()
  $options = @{ FilePath = $path; NoNewWindow = $true; PassThru = $true; RedirectStandardOutput = $file }
  if ($arguments) { $options.ArgumentList = $arguments }
  $process = Start-Process @options
  $null = $process.Handle  # else Windows PowerShell does not know the exit code
  $ended = $process.WaitForExit($DeadlineSeconds * 1000)
  if (-not $ended) {
    $process.Kill()
    $process.WaitForExit()
  }
  $lines = @(Get-Content $file -Encoding UTF8)
  Remove-Item $file
  @{ lines = $lines; code = if ($ended) { $process.ExitCode } else { $null } }
}

# `  id asked -> answer`, with ~ in front of a figure, which differs from run to run.
function Get-Facts([string[]]$lines) {
  foreach ($line in $lines) {
    if ($line -match '^([ ~]) ([a-z]\w*\.[\w.]+)\s+(.*?)\s+-> (.*)$') {
      $kind = if ($Matches[1] -eq '~') { 'figure' } else { 'fact' }
      [ordered]@{ kind = $kind; id = $Matches[2]; asked = $Matches[3]; answer = $Matches[4] }
    }
  }
}

function Find-Program([string]$name) {
  (Get-ChildItem -Path $folder -Recurse -Filter "$name.exe" | Sort-Object LastWriteTime | Select-Object -Last 1).FullName
}

# Runs a gate or the suite; `$pattern` finds its verdict, of which it takes the text after the colon.
function Test-Program([string]$name, [string[]]$arguments, [string]$pattern, [bool]$shown) {
  $clock = [Diagnostics.Stopwatch]::StartNew()
  $run = Invoke-Program (Find-Program $name) $arguments
  $verdict = $run.lines | Where-Object { $_ -match $pattern } | Select-Object -Last 1
  $skipped = $run.code -eq 77 -and $verdict -match '^SKIP'  # this system has not what it is about
  $passed = $run.code -eq 0 -and $null -ne $verdict -and $verdict -notmatch '^(FAIL|SKIP)'
  if ($shown -or -not ($passed -or $skipped)) { $run.lines | Out-Host }
  $what = if ($null -eq $run.code) { "no end within $DeadlineSeconds s: ended by the runner" }
    elseif ($null -eq $verdict) { "ended with exit code $($run.code) and without a verdict" }
    else { ($verdict -split ': ', 2)[1].Trim() }
  [ordered]@{ gate = $name; facts = @(Get-Facts $run.lines); seconds = [math]::Round($clock.Elapsed.TotalSeconds, 1)
    verdict = $what; passed = $passed; skipped = $skipped }
}

# Of the process, not of the machine: an x86 program on an x64 machine is x86. The word is in the header of the program.
function Get-Architecture([string]$program) {
  $image = [IO.File]::ReadAllBytes($program)
  switch ([BitConverter]::ToUInt16($image, [BitConverter]::ToInt32($image, 0x3C) + 4)) {
    0x14C { 'x86' }
    0x8664 { 'x64' }
    0xAA64 { 'arm64' }
    default { 'another' }
  }
}

$configure = @('--preset', $Preset)
$vcpkg = if ($env:VCPKG_INSTALLATION_ROOT) { $env:VCPKG_INSTALLATION_ROOT } else { $env:VCPKG_ROOT }
if ($vcpkg -and -not $env:CMAKE_PREFIX_PATH) {
  & (Join-Path $vcpkg 'vcpkg.exe') install doctest --triplet x64-windows --host-triplet x64-windows --classic | Out-Host
  $configure += "-DCMAKE_PREFIX_PATH=$(Join-Path $vcpkg 'installed/x64-windows')"
}
$targets = @('gates', 'kernel_test')
cmake @configure | Out-Host
if ($LASTEXITCODE -ne 0) {
  Write-Host 'The suite is left out: the configuration failed, as above. Trying the gates alone.'
  $targets = @('gates')
  cmake --preset $Preset -DREACTOR_TESTS=OFF | Out-Host
  if ($LASTEXITCODE -ne 0) { Write-Error 'FAIL gates: the configuration failed' }
}
cmake --build --preset $Preset --target $targets | Out-Host
if ($LASTEXITCODE -ne 0) { Write-Error 'FAIL gates: the build failed' }

$found = @()
foreach ($name in $gates) {
  Write-Host "`n$name"
  $found += , (Test-Program $name @() '^(PASS|FAIL|SKIP) \w+: ' $true)
  if (-not ($found[-1].passed -or $found[-1].skipped)) { break }
}
$gatesPassed = @($found | Where-Object { $_.passed }).Count
$gatesSkipped = @($found | Where-Object { $_.skipped }).Count
$gatesGreen = $gatesPassed + $gatesSkipped -eq $gates.Count
$allPassed = $gatesGreen
if ($allPassed -and $targets -contains 'kernel_test') {
  Write-Host "`nkernel_test: the conformance suite, its facts are not shown here"
  $arguments = '--facts', '--no-colors', '-tc=*the?kernel?of?this?system*'
  $found += , (Test-Program 'kernel_test' $arguments '^\[doctest\] test cases: ' $false)
  $allPassed = $found[-1].passed
}

$windows = [Environment]::OSVersion.Version
$system = [ordered]@{ windows = "$($windows.Major).$($windows.Minor).$($windows.Build)"; wine = $null
  architecture = Get-Architecture (Find-Program $gates[0]) }
$report = ConvertTo-Json ([ordered]@{ system = $system; gates = @($found) }) -Depth 8
[IO.File]::WriteAllText((Join-Path $PWD 'build/gates.json'), $report)  # no byte order mark, whatever the PowerShell

$found | ForEach-Object { [pscustomobject]$_ } | Format-Table gate, @{ n = 'verdict'
  e = { if ($_.passed) { 'PASS' } elseif ($_.skipped) { 'SKIP' } else { 'FAIL' } } }, seconds, @{ n = 'what it found'; e = { $_.verdict } } -Wrap |
  Out-Host
$result = if ($allPassed) { 'PASS' } else { 'FAIL' }
$suite = if ($gatesGreen -and -not $allPassed) { ', kernel_test failed,' } else { '' }
$skippedText = if ($gatesSkipped) { ", $gatesSkipped skipped" } else { '' }
Write-Host ("$result gates: $gatesPassed of $($gates.Count) passed$skippedText$suite on Windows $($system.windows), " +
  "$($system.architecture); all facts are in build\gates.json")
exit $(if ($allPassed) { 0 } else { 1 })
