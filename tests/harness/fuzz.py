# SPDX-License-Identifier: MIT
"""
`./run fuzz`: feeds a target with inputs that libFuzzer makes, guided by what they reach. The targets
are those of tests/fuzz/: the module, in a guest (fuzz_kernel.py), and parsers, here.
"""

import argparse
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import build
import fuzz_kernel
from paths import BUILD, ROOT, HarnessError

CORPUS = ROOT / "tests/fuzz/corpus"
WORK = BUILD / "fuzz"
PARSERS = ("http", "tools")
TARGETS = (fuzz_kernel.NAME, *PARSERS)
DEFAULT_MINUTES = 5
# What a parser's input may be at most; longer ones find nothing else.
MOST_BYTES = 2048

EPILOG = """\
Inputs that reach something new are collected in a folder of the build directory (--corpus), which
begins with what tests/fuzz/corpus/TARGET has; --keep puts a minimal set that reaches the same there.
`./run test` runs each input of tests/fuzz/corpus once. An input that fails is left in a file that is
named; --replay FILE... runs such files again, in a guest with --kernel K.

examples:
  ./run fuzz --minutes 30 --kernel kasan
  ./run fuzz --replay build/fuzz/failed/kernel-1/*
  ./run fuzz http --minutes 10 --seed 7 --keep
"""


@dataclass(frozen=True)
class Options:
    """Of one run."""

    target: str
    seconds: int
    seed: int
    corpus: Path
    kernel: str
    cpus: int
    replay: tuple[Path, ...]
    keep: bool


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="./run fuzz", description=__doc__, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default=fuzz_kernel.NAME, choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES)
    parser.add_argument("--seed", type=int, help="of libFuzzer; default: any, which is printed")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="default: build/fuzz/TARGET")
    parser.add_argument("--kernel", default="kasan",
                        help="of the guest, as of ./run guest; to replay, any. New inputs are guided "
                             "by coverage, which only kasan (the default) has")
    parser.add_argument("--cpus", type=int, default=2, help="of the guest")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", default=(),
                        help="run these inputs, and make none")
    parser.add_argument("--keep", action="store_true",
                        help="leave a minimal corpus in tests/fuzz/corpus")
    options = parser.parse_args(arguments)
    if options.target == fuzz_kernel.NAME and options.kernel != "kasan" and not options.replay:
        parser.error(f"{options.kernel} has no coverage to guide the fuzzer; --replay works there")
    if options.minutes <= 0:
        parser.error("--minutes has to be above 0")
    for path in options.replay:
        if not path.is_file():
            parser.error(f"{path} is not a file")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 2**31)
    return Options(options.target, max(1, round(options.minutes * 60)), seed,
                   options.corpus or WORK / options.target, options.kernel, options.cpus,
                   tuple(options.replay), options.keep)


def prepare_corpus(options: Options) -> None:
    """Everything that was kept is in it."""
    options.corpus.mkdir(parents=True, exist_ok=True)
    for path in sorted((CORPUS / options.target).glob("*")):
        if not (options.corpus / path.name).exists():
            shutil.copy(path, options.corpus)


def publish(found: Path, target: str) -> None:
    """Replaces the corpus of the repository."""
    kept = CORPUS / target
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(found, kept)
    sizes = [path.stat().st_size for path in kept.iterdir()]
    print(f"fuzz: {kept} has {len(sizes)} inputs of {sum(sizes)} bytes", flush=True)


def flags(options: Options, folder: Path) -> list[str]:
    return [f"-max_total_time={options.seconds}", f"-seed={options.seed}",
            f"-max_len={MOST_BYTES}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]


def fuzz_parser(options: Options) -> int:
    """libFuzzer writes what fails to the folder of failures, and says so."""
    program = build.target(f"flexsc-fuzz-{options.target}", "fuzz")
    if options.replay:
        return subprocess.run([program, *options.replay], check=False).returncode
    prepare_corpus(options)
    failed = WORK / "failed"
    failed.mkdir(parents=True, exist_ok=True)
    print(f"fuzz: {options.target}, seed {options.seed}, corpus {options.corpus}", flush=True)
    status = subprocess.run([program, *flags(options, failed), options.corpus],
                            check=False).returncode
    if status == 0 and options.keep:
        kept = WORK / f"{options.target}-kept"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        status = subprocess.run([program, *fuzz_kernel.MERGE, f"-max_len={MOST_BYTES}", kept,
                                 options.corpus], check=False).returncode
        if status == 0:
            publish(kept, options.target)
    return 1 if status else 0


def fuzz_module(options: Options) -> int:
    session = fuzz_kernel.Session(options.kernel, options.cpus, options.corpus, WORK / "failed")
    if options.replay:
        return session.replay(options.replay)
    prepare_corpus(options)
    print(f"fuzz: the module, seed {options.seed}, corpus {options.corpus}", flush=True)
    status = session.fuzz(options.seconds, options.seed)
    if status == 0 and options.keep:
        publish(session.minimised(), options.target)
    return status


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    return fuzz_module(options) if options.target == fuzz_kernel.NAME else fuzz_parser(options)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
