"""What to do about each of the proxy's own errors, for who looks after the box. Pure.

When each occurs stands with its class; the message of each says what was wrong this time.
"""

from proxy.core import errors, key_errors
from proxy.core.errors import RotaError

REMEDIES: dict[type[RotaError], str] = {
    errors.RotaError: "A bug of the proxy's: its log has the trace, by the request id. Report it with that.",
    errors.InvalidRequest: "Mend the request: the message names the field and what is allowed.",
    errors.ModelTooLarge: (
        "Lower `memory_gib` (a shorter context, fewer sequences), choose a smaller quantisation, raise "
        "`memory_budget_gib` or `device_memory_gib`, or give it several devices (`device_count`); `plan` says"
        " what fits."
    ),
    errors.CatalogInvalid: "Mend the file, line and key that the message names; `reload -n` tries it.",
    errors.ReloadFailed: "See `supervisorctl status` and the log of supervisord, and reload again.",
    errors.NotFound: "See the path; `/openapi.json` lists all of them.",
    errors.ModelNotFound: ("Ask for a name that `/v1/models` lists, or put the model or agent type into the catalog."),
    errors.WrongModelForPath: "Embeddings come from embedders only, and text from the others: see `embedder`.",
    errors.MethodNotAllowed: "Use a method that `Allow` names.",
    errors.UnknownCoding: "Send the body plain, or in gzip or deflate.",
    errors.TooSlow: "The client, or the network to it, sends less than 64 KiB a minute.",
    errors.BodyTooLarge: "Send less, or raise `max_body_mib`.",
    errors.EngineStartFailed: (
        "Do what the message says; the causes are listed below. `status` has the last lines of its log."
    ),
    errors.WeightsMissing: "`manage_vllm.sh download MODEL`, or put the model where `weights` says.",
    errors.PortTaken: "End who listens there (`ss -ltnp`), or change `port`.",
    errors.StoppedByHand: (
        "`manage_vllm.sh start MODEL`; or set `start_after_stop_by_hand`, and the next request starts it."
    ),
    errors.BlockedByOthers: "End the processes that the message names, or lower what models need beside them.",
    errors.CannotSleep: (
        "The message says why: it is not awake, its catalog entry allows no sleep, or the host has no room."
    ),
    errors.QueueFull: (
        "Come back after `Retry-After`; raise `max_queue` only if waiting longer is better than hearing no."
    ),
    errors.DeadlineTooShort: (
        "Come back after `Retry-After`, ask with a longer deadline, or pin or preload the model."
    ),
    errors.WaitedTooLong: "See `why MODEL`: what it waited for. `queue_timeout_s` is how long it may.",
    errors.EngineUnreachable: "Try again. The engine has ended or hangs: `status` says which, and why.",
    errors.EngineRefused: "Try again. The engine is ending; the next one is started.",
    errors.EngineNotUp: "Such requests wake nothing: `start MODEL` first, or ask for an answer.",
    errors.ShuttingDown: "Try again in seconds: the proxy is being restarted, and the engines go on.",
    errors.GateRefused: (
        "The log of the program says why; start engines with `manage_vllm.sh start` or `supervisorctl start`."
    ),
    key_errors.KeyInvalid: ("Send a key that counts: `keys list` shows which do, until when; `keys make` makes one."),
    key_errors.Forbidden: ("Use a key that may: `keys make --agent-types`, `--models` and `--role` say what for."),
    key_errors.RateLimited: (
        "Come back after `Retry-After`; `x-ratelimit-*` say what is left. `keys list` shows the limits."
    ),
    key_errors.QuotaUsedUp: "Come back tomorrow (UTC), or give the key more: `keys make --tokens-per-day`.",
    key_errors.KeysInvalid: (
        "Mend the file that the message names, or have the last sound one back; nothing was changed."
    ),
    key_errors.AuditUnreadable: "`manage_vllm.sh audit verify` says more; where `audit` is off there is none.",
    key_errors.AuditFailed: (
        "Make room on the disk of `var/audit` (`df`), or see to its rights. `audit_required: false` goes on without."
    ),
}
