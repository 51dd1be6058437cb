"""All that is measured on a CUDA device, in steps that can be interrupted, as one JSON file.

`python benchmarks/gpu.py --out gpu.json` does what the file does not hold yet, until `--seconds` are over; call it
again until it ends with exit code 0. `--device cpu --small` rehearses the script where there is no such device.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the plain forms, and a suite for the rehearsal

from fsbench.engine.devices import tune_process
from fsbench.errors import FsbenchError
from fsbench.files.atomic import write_atomic
from fsbench.run.environment import describe_environment
from gpu_setting import Result, Setting
from gpu_steps import STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file, begun or gone on with")
    parser.add_argument("--only", choices=STEPS, help="do this step alone")
    parser.add_argument("--data-root", type=Path, help="folder of the sources' folders, for whole tables")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes: a rehearsal")
    parser.add_argument("--seconds", type=float, default=480, help="start no step after; interrupt a run (%(default)s)")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    if options.device == "cuda" and not torch.cuda.is_available():
        refuse("there is no CUDA device here; --device cpu --small rehearses the script.")
    if options.device == "cpu" and not options.small:
        refuse("on a CPU only a rehearsal makes sense; add --small.")
    device, runs = torch.device(options.device), options.out.parent / f"{options.out.stem}-runs"
    setting = Setting(device, options.small, runs, options.data_root, deadline)
    tune_process(deterministic=False)  # as `fsbench run` does
    made_by = {"rehearsal": options.small, "environment": describe_environment(device).model_dump()}
    content: Result = {**made_by, "steps": {}}
    if options.out.exists():
        content = json.loads(options.out.read_text(encoding="utf-8"))
        if (
            content["rehearsal"] != options.small
            or content["environment"]["device"] != made_by["environment"]["device"]
        ):
            refuse(f"{options.out} holds figures of another device, or of a rehearsal; choose another --out.")
    wanted = [options.only] if options.only else list(STEPS)
    for name in wanted:
        before = content["steps"].get(name, {})
        if before.get("finished") or time.monotonic() > deadline:
            continue
        try:
            result = STEPS[name](setting, before)
        except (FsbenchError, RuntimeError, AssertionError, ImportError) as error:  # the other steps need not suffer
            traceback.print_exc()
            result = {"finished": False, "why": f"{type(error).__name__}: {error}"}
        content["steps"][name] = result
        write_atomic(options.out, json.dumps(content, indent=1) + "\n")
        print(name, json.dumps(result, indent=1), flush=True)
    states = {name: content["steps"].get(name, {}) for name in wanted}
    if left := [name for name, state in states.items() if not (state.get("finished") or state.get("absent"))]:
        print(f"Not finished: {', '.join(left)}.", file=sys.stderr)
        sys.exit(1)


def refuse(sentence: str) -> None:
    print(f"gpu.py: {sentence}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
