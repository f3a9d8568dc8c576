"""The flags of `vllm serve` that Rota gives, for the stand-in and for the tests of what is rendered."""

import argparse
import json


def parse(argv: list[str]) -> argparse.Namespace:
    """The flags that Rota gives; any other is refused with 2, as vLLM refuses it."""
    parser = argparse.ArgumentParser(prog="vllm serve", allow_abbrev=False)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--max-num-seqs", type=int)
    parser.add_argument("--dtype")
    parser.add_argument("--kv-cache-memory-bytes", type=int)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.92)
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--enable-sleep-mode", action="store_true")
    parser.add_argument("--runner", choices=["auto", "generate", "pooling"], default="auto")
    parser.add_argument("--chat-template")
    parser.add_argument("--default-chat-template-kwargs", type=json.loads)
    parser.add_argument("--shutdown-timeout", type=int)
    parser.add_argument("--enable-request-id-headers", action="store_true")
    parser.add_argument("--disable-uvicorn-access-log", action="store_true")
    parser.add_argument("--middleware", action="append")
    parser.add_argument("--no-log-error-stack", action="store_true")
    parser.add_argument("--enforce-eager", action="store_true")
    return parser.parse_args(argv)
