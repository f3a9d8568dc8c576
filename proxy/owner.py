"""Root acts as who owns the state: what root wrote there, the service could not read.

`sudo manage_vllm.sh keys make ...` is what a sysadmin types; an installation runs as a user of its own.
"""

import os
import pwd
from pathlib import Path


def become(var: Path) -> None:
    """Give up root's rights, for good, for those of the owner of `var`; only where this is root and he is not.

    The environment is his too: what keeps files for a user (huggingface_hub, vLLM) would look in root's home.
    """
    if os.geteuid() != 0 or not var.exists() or (owner := var.stat()).st_uid == 0:
        return
    try:
        entry = pwd.getpwuid(owner.st_uid)
    except KeyError:  # of a container's volume, it may be that nobody has that number
        os.setgroups([owner.st_gid])
        name, group, home = None, owner.st_gid, str(var.resolve())
    else:
        name, group, home = entry.pw_name, entry.pw_gid, entry.pw_dir
        os.initgroups(name, group)
    os.setgid(group)
    os.setuid(owner.st_uid)
    for variable in [one for one in os.environ if one.startswith("XDG_") or one in ("USER", "LOGNAME")]:
        del os.environ[variable]
    os.environ |= {"HOME": home} | ({} if name is None else {"USER": name, "LOGNAME": name})
