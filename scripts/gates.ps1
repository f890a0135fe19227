<#
.SYNOPSIS
Builds the four gates on Windows, runs them in order, stops at the first red one, writes build\gates.json.
.PARAMETER Preset
windows-msvc (default), windows-clang-cl or windows-mingw.
#>
param([ValidateSet('windows-msvc', 'windows-clang-cl', 'windows-mingw')][string]$Preset = 'windows-msvc')
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..')

cmake --preset $Preset -DREACTOR_TESTS=OFF
if ($LASTEXITCODE -ne 0) { Write-Error 'FAIL gates: the configuration failed' }
cmake --build --preset $Preset --target gates
if ($LASTEXITCODE -ne 0) { Write-Error 'FAIL gates: the build failed' }

$names = 'stage0_wake', 'stage1_accept', 'stage2_echo', 'stage3_stress'
$found = @()
foreach ($name in $names) {
  $folder = Join-Path 'build' (Join-Path $Preset 'poc')
  $program = Get-ChildItem -Path $folder -Recurse -Filter "$name.exe" |
    Sort-Object LastWriteTime | Select-Object -Last 1
  $json = Join-Path $folder "$name.json"
  Remove-Item $json -ErrorAction SilentlyContinue
  $clock = [Diagnostics.Stopwatch]::StartNew()
  & $program.FullName --json $json | Out-Host
  $code = $LASTEXITCODE
  try {
    $gate = Get-Content $json -Raw -Encoding UTF8 | ConvertFrom-Json
    if (-not $gate.verdict) { throw 'cut off' }
  } catch {
    $gate = [pscustomobject]@{ gate = $name; system = $null; facts = @(); passed = $false
      verdict = "it ended with exit code $code before it could write its JSON to the end" }
  }
  $gate | Add-Member seconds ([math]::Round($clock.Elapsed.TotalSeconds, 1))
  $gate.passed = $gate.passed -and $code -eq 0
  $found += $gate
  if (-not $gate.passed) { break }
}
$report = ConvertTo-Json @{ system = $found[0].system; gates = @($found) } -Depth 8
[IO.File]::WriteAllText((Join-Path $PWD 'build/gates.json'), $report)  # no byte order mark, whatever the PowerShell

$found | Format-Table gate, @{ n = 'verdict'; e = { if ($_.passed) { 'PASS' } else { 'FAIL' } } },
  @{ n = 'seconds'; e = { $_.seconds } }, @{ n = 'what it found'; e = { $_.verdict } } -AutoSize -Wrap | Out-Host
$passed = @($found | Where-Object passed).Count
if ($passed -eq $names.Count) {
  Write-Host "PASS gates: $passed of $($names.Count) passed; all facts are in build\gates.json"
  exit 0
}
Write-Host "FAIL gates: $passed of $($names.Count) passed; what was found is in build\gates.json"
exit 1
