"""Root acts as who owns the state: what root wrote there, the service could not read.

`sudo manage_vllm.sh keys make ...` is what a sysadmin types; an installation runs as a user of its own.
"""

import os
import pwd
from pathlib import Path


def become(var: Path) -> None:
    """Give up root's rights, for good, for those of the owner of `var`; only where this is root and he is not."""
    if os.geteuid() != 0 or not var.exists() or (owner := var.stat()).st_uid == 0:
        return
    try:
        name, group = pwd.getpwuid(owner.st_uid).pw_name, pwd.getpwuid(owner.st_uid).pw_gid
    except KeyError:  # of a container's volume, it may be that nobody has that number
        os.setgroups([owner.st_gid])
        group = owner.st_gid
    else:
        os.initgroups(name, group)
    os.setgid(group)
    os.setuid(owner.st_uid)
