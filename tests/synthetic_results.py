"""Results files with made-up times of known shape, for the tests of the scripts."""

import random


def entry(op, variant, T, time_ns, repetitions=5, seed=0, spread=0.01, **changes):
    """The entries of one cell: a repetition each, then the aggregates, as the program writes them."""
    B, H, N, mode = 1, 32, 64, changes.get("mode", "prefill")
    tokens = 1 if mode == "decode" else T
    rows = H * N * 4 * tokens
    if op == "attention":
        pairs = T if mode == "decode" else T * (T + 1) / 2
        flops, moved = 4.0 * N * H * pairs, 2.0 * rows + 2.0 * H * N * 4 * T
    else:
        flops, moved = 4.0 * H * N * N * tokens, 4.0 * rows + 8.0 * H * N * N
    name = f"{op}/{variant}/f32/{mode}/B:{B}/T:{T}/H:{H}/N:{N}/threads:2/realistic"
    common = {
        "op": op, "variant": variant, "device": "cpu", "mode": mode, "dtype": "f32", "products": "f32", "B": B, "T": T,
        "H": H, "N": N, "run_threads": 2, "inputs": "realistic", "seed": 7, "repetitions_requested": repetitions,
        "sets": 2, "working_set_bytes": 2 * int(moved), "status": "timed", "reason": "", "error": 2e-7,
        "tolerance_ratio": 0.1, "sample": "all", "flops": flops, "bytes": moved,
        "extra_bytes": 4 * T * T * H if variant == "cpu_naive" and op == "attention" else 65536,
        "memory_bytes": 2 * int(moved) + 65536, "floor_ns": max(flops / 100, moved / 30), "noisy": False}
    common.update(changes)
    if common["status"] != "timed":
        return [{"name": name, "run_name": name, "run_type": "aggregate", "aggregate_name": common["status"],
                 **({} if common["status"] == "verified" else {"error_occurred": True, "error_message": common["reason"]}),
                 **common}]
    noise = random.Random(f"{op} {variant} {T} {mode} {seed}")
    times = [time_ns * noise.gauss(1, spread) for _ in range(repetitions)]
    made = [{"name": name, "run_name": name, "run_type": "iteration", "repetitions": repetitions,
             "repetition_index": i, "threads": 1, "iterations": 10, "real_time": time, "cpu_time": time,
             "time_unit": "ns", **common, "ns_per_token": time / tokens} for i, time in enumerate(times)]
    median = sorted(times)[len(times) // 2]
    return made + [{**made[0], "name": name + "_median", "run_type": "aggregate", "aggregate_name": "median",
                    "real_time": median}]


def document(benchmarks, **context):
    copy = [(1 << 14, 2e11), (1 << 18, 1.2e11), (1 << 22, 6e10), (1 << 26, 3.1e10), (1 << 28, 3e10)]
    return {"context": {"cpu_model": "AMD EPYC 7R13", "num_cpus": 2, "seed": 7, "arguments": [], "ceilings": [
        {"threads": 2, "fma_flops_per_second": 1.1e11, "bf16_dot_flops_per_second": 0,
         "copy": [{"working_set_bytes": size, "bytes_per_second": speed} for size, speed in copy]}], **context},
        "benchmarks": [entry for cell in benchmarks for entry in cell]}


def sweep(lengths=tuple(2**i for i in range(17)), mode="prefill", **changes):
    """WKV5 in time proportional to T, attention to T^2 for long T, decode to 1 and T; long cells skipped."""
    curves = {("wkv5", "cpu_naive"): (40000, 60000, 0), ("wkv5", "cpu_serial"): (45000, 11000, 0),
              ("wkv5", "cpu_chunked"): (60000, 7000, 0), ("wkv5", "cpu_bf16_dot"): None,
              ("attention", "cpu_naive"): (800, 2000, 210), ("attention", "cpu_tiled"): (5000, 1500, 71)}
    cells = []
    for (op, variant), curve in curves.items():
        for T in lengths:
            if curve is None:
                cells.append(entry(op, variant, T, 0, mode=mode, status="skipped",
                                   reason="unsupported: the CPU has no AVX-512 BF16", error=None, tolerance_ratio=None,
                                   **changes))
                continue
            start, per_token, per_pair = curve
            time = start + (per_token * T + per_pair * T * T if mode == "prefill" else per_token + per_pair * T)
            if time > 12e9:
                cells.append(entry(op, variant, T, time, mode=mode, status="skipped",
                                   reason=f"predicted {time / 1e9:.0f} s of the 60 s of --cell-seconds", error=None,
                                   tolerance_ratio=None, **changes))
            else:
                cells.append(entry(op, variant, T, time, mode=mode, **changes))
    return cells
