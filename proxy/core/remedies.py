"""What to do about each of the proxy's own errors, for who looks after the box. Pure.

When each occurs stands with its class; the message of each says what was wrong this time.
"""

from proxy.core import errors, key_errors
from proxy.core.errors import RotaError

REMEDIES: dict[type[RotaError], str] = {
    errors.RotaError: (
        "`bin/manage_vllm.sh logs proxy` has the trace, by the request id that the answer carries in "
        "`X-Request-Id`: report both. The engines go on."
    ),
    errors.InvalidRequest: "The client's: the message says what is wrong, `param` where.",
    errors.ModelTooLarge: (
        "Lower `memory_gib` (or `max_model_len`, `kv_cache_gib`) in the model's file, raise "
        "`memory_budget_gib` or `device_memory_gib`, or give the agent type a `fallback`. `bin/manage_vllm.sh"
        " plan --explain MODEL` shows what it needs."
    ),
    errors.CatalogInvalid: (
        "Mend the file, line and key that the message names, then `reload` again. Where an engine that serves"
        " would go for an entry that cannot run: `reload --force`, if that is meant."
    ),
    errors.ReloadFailed: (
        "supervisord did not take the new program: `bin/manage_vllm.sh logs supervisord`, then `reload` again."
    ),
    errors.NotFound: (
        "The client's: the message lists what is served. Endpoints of vLLM's that are not in the README's "
        "table do not go through."
    ),
    errors.ModelNotFound: (
        "Ask for a name that `GET /v1/models` lists, or add the model or agent type to the catalog and `reload`."
    ),
    errors.WrongModelForPath: (
        "Send embeddings to an embedder and text to the others; where the catalog is wrong, set `embedder` in"
        " the model's file."
    ),
    errors.MethodNotAllowed: "The client's: the header `Allow` says which methods there are.",
    errors.UnknownCoding: "Send the body plain, or in gzip or deflate.",
    errors.TooSlow: ("The client, or the network to it, stalls. Nothing to do here, if it happens to one client only."),
    errors.BodyTooLarge: "Send less, or raise the setting `max_body_mib`.",
    errors.EngineStartFailed: (
        "The message says cause and remedy (they are listed below); `bin/manage_vllm.sh status` has the last "
        "lines of the log. After a remedy: `bin/manage_vllm.sh start MODEL`."
    ),
    errors.WeightsMissing: "`bin/manage_vllm.sh download MODEL`. The next request after that starts it.",
    errors.PortTaken: (
        "`bin/manage_vllm.sh status` names the process that listens there: end it, or change `port` in the "
        "model's file and `reload`."
    ),
    errors.StoppedByHand: (
        "`bin/manage_vllm.sh start MODEL`. With the setting `start_after_stop_by_hand` the next request does that."
    ),
    errors.BlockedByOthers: (
        "The message names the processes (`nvidia-smi` shows them too): end them, or wait. What stays there "
        "for good belongs into `device_reserve_gib`."
    ),
    errors.CannotSleep: (
        "Wait until it is ready, take a level that its file allows (`sleep_levels`), or free host memory "
        "(`sleep_host_gib`)."
    ),
    errors.QueueFull: (
        "The client comes back after `Retry-After`. If it is usual: raise `max_queue` (of the model, or the "
        "setting) or `max_waiting_mib`, or serve more of the model at once (`concurrency`)."
    ),
    errors.DeadlineTooShort: (
        "The client waits longer (`X-Request-Deadline-S`, or its own time-out), or comes back after "
        "`Retry-After`, when the engine is likely to be there."
    ),
    errors.WaitedTooLong: (
        "`bin/manage_vllm.sh why MODEL` says what stood in the way. Raise `queue_timeout_s`, or look for a "
        "`pinned` engine, a long start, memory that strangers hold."
    ),
    errors.EngineUnreachable: (
        "The engine ended with the request in hand: `bin/manage_vllm.sh status` says how, `logs MODEL` what "
        "it wrote. It starts again with the next request; what had begun must be asked again."
    ),
    errors.EngineRefused: (
        "The request never reached the engine; it may be sent again at once. `logs MODEL` if it repeats."
    ),
    errors.EngineNotUp: (
        "Such are `GET /engines/MODEL/...` and a response by its id. `bin/manage_vllm.sh start MODEL` if it "
        "is to be up."
    ),
    errors.ShuttingDown: "Come back after `Retry-After`: the next proxy adopts the engines.",
    errors.GateRefused: (
        "In an engine's log: the process was not started by supervisord, or was being stopped meanwhile. "
        "Start it with `bin/manage_vllm.sh start MODEL`."
    ),
    key_errors.KeyInvalid: (
        "Send a key, or a new one: `bin/manage_vllm.sh keys list` says which have ended; `keys make`, `keys rotate`."
    ),
    key_errors.Forbidden: (
        "Use a key that may: `keys list` says what each is for. What a key is for does not change: make another."
    ),
    key_errors.RateLimited: (
        "The client comes back after `Retry-After`. A key's limits do not change: make another with other limits."
    ),
    key_errors.QuotaUsedUp: ("The day (UTC) is used up: tomorrow, or another key with a larger `--tokens-per-day`."),
    key_errors.KeysInvalid: (
        "Mend `var/keys/keys.json` as the message says, or put a copy back; until then the keys of before count."
    ),
    key_errors.AuditUnreadable: "`manage_vllm.sh audit verify` says more; where `audit` is off there is none.",
    key_errors.AuditFailed: (
        "Free the disk under `var/audit`, see [operations](operations.md#disk-full). The next request after "
        "that goes through."
    ),
}
