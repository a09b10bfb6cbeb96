"""The script and the README of a folder that times files on an Android phone through adb."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LITERT = "benchmark_model"
NCNN = "benchncnn"
_LITERT_SOURCE = (
    "download https://storage.googleapis.com/litert/binaries/latest/android_arm64/benchmark_model"
)
_NCNN_SOURCE = (
    "build it with the Android NDK and NCNN_VULKAN=ON from https://github.com/Tencent/ncnn "
    "(folder benchmark, June 2023 or newer)"
)
SOURCES = {LITERT: _LITERT_SOURCE, NCNN: _NCNN_SOURCE}
_WARMUP = 10  # of benchmark_model; benchncnn has 8 of its own, on a GPU 10


@dataclass(frozen=True)
class PhoneRun:
    """One measurement on the phone.

    Attributes:
      log: name of its log.
      program: `LITERT` or `NCNN`.
      device: "CPU" or "GPU", for ncnn through Vulkan.
      threads: of the CPU.
      facts: of the file: `file`, `model`, `precision`, `input`, `size` (H, W), `file_kb`.
    """

    log: str
    program: str
    device: str
    threads: int
    facts: dict

    def command(self, runs: int) -> str:
        """The command on the phone, in the folder with the program and the file."""
        gpu, file = self.device == "GPU", self.facts["file"]
        if self.program == NCNN:
            height, width = self.facts["size"]
            # loops, threads, big cores, Vulkan device (-1: CPU), no pause of its own
            numbers = f"{runs} {self.threads} 2 {0 if gpu else -1} 0"
            return f'./{NCNN} {numbers} param={file} "shape=[{width},{height},3]"'
        delegate = "--use_gpu=true" if gpu else "--use_xnnpack=true"
        return (
            f"./{LITERT} --graph={file} --num_threads={self.threads} --warmup_runs={_WARMUP} "
            f"--num_runs={runs} {delegate}"
        )


_HEAD = """\
#!/bin/sh
# Times the networks in models/ on an Android phone and writes logs/; see README.md.
set -eu
cd "$(dirname "$0")"
adb=${ADB:-adb}
pause=${PAUSE:-10} # seconds before each measurement, for the phone to cool down
phone=/data/local/tmp/jaxpose
status=0

say() {
    echo "run.sh: $*" >&2
}

# Whether a program is here; without it, its networks are left out.
present() { # PROGRAM SOURCE
    [ ! -f "$1" ] || return 0
    say "$1 is missing beside run.sh, its networks are left out: $2"
    status=1
    return 1
}

install() { # PROGRAM
    "$adb" push "$1" "$phone/$1" >/dev/null
    "$adb" shell "chmod 755 $phone/$1" </dev/null
}

push() { # NETWORK
    "$adb" push "models/$1" "$phone/$1" >/dev/null
}

measure() { # LOG COMMAND
    sleep "$pause"
    say "$1"
    if ! "$adb" shell "cd $phone && $2" >"logs/$1" 2>&1 </dev/null; then
        say "failed, see logs/$1"
        status=1
    fi
}

if ! command -v "$adb" >/dev/null; then
    say "adb is missing: install the Android SDK Platform-Tools"
    exit 2
fi
if ! "$adb" get-state >/dev/null 2>&1; then
    say "no phone: connect one with USB debugging, and check 'adb devices'"
    exit 2
fi
mkdir -p logs
rm -f logs/*.log logs/phone.txt
"$adb" shell "rm -rf $phone && mkdir -p $phone" </dev/null
for key in ro.product.manufacturer ro.product.model ro.soc.manufacturer ro.soc.model \\
    ro.board.platform ro.product.cpu.abi ro.build.version.release; do
    echo "$key=$("$adb" shell "getprop $key" </dev/null | tr -d '\\r')" >>logs/phone.txt
done
"""
_TAIL = """
"$adb" shell "rm -rf $phone" </dev/null
say "done; read the logs with: jaxpose benchmark latency --read-adb $PWD"
exit "$status"
"""


def script(plan: Iterable[PhoneRun], runs: int) -> str:
    """The POSIX shell script that runs the plan, with `runs` timed calls each."""
    plan, lines = list(plan), [_HEAD]
    for program, source in SOURCES.items():
        own = [run for run in plan if run.program == program]
        if not own:
            continue
        lines += [f"if present {program} '{source}'; then", f"    install {program}"]
        pushed: set[str] = set()
        for run in own:
            if run.facts["file"] not in pushed:
                pushed.add(run.facts["file"])
                lines.append(f"    push {run.facts['file']}")
            lines.append(f"    measure {run.log} '{run.command(runs)}'")
        lines.append("fi")
    return "\n".join(lines) + "\n" + _TAIL


def readme(plan: Iterable[PhoneRun], runs: int) -> str:
    """What the folder needs, does and measures."""
    programs = sorted({run.program for run in plan})
    needed = "\n".join(f"* `{program}`: {SOURCES[program]}." for program in programs)
    return f"""\
# Times on an Android phone

1. Install `adb` (Android SDK Platform-Tools), connect the phone, allow USB debugging.
2. Put these programs for arm64 beside `run.sh`:

{needed}

3. Close other apps, keep the screen on, and run `sh run.sh`. It waits 10 s before each measurement,
   for the phone to cool down; the variable `PAUSE` sets another time, `ADB` another adb.
4. Run `jaxpose benchmark latency --read-adb` with the path of this folder.

Each log in `logs/` is the output of one program for one network and device, and
`logs/phone.txt` has the model of the phone. {runs} calls are timed after the warm-up.

LiteRT runs on the CPU (XNNPACK) with 1 and 4 threads and on the GPU, ncnn on the CPU with 1 and 4
threads and on the GPU through Vulkan. `benchncnn` is restricted to the big cores, LiteRT is not.
`benchncnn` reads the `.param` file alone, fills the weights with zeros, and computes in float16
where the processor can, whatever the precision of the file. Both programs feed the same tensor
again and again: cropping, normalization and decoding are not in the times.
"""
