"""How commands of another terminal reach a running job: a Unix socket that only its user can open, and what is said over it.

The job's side runs on threads of its own and touches the job only through `JobManager.post`.
"""

from __future__ import annotations
