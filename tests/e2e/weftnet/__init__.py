"""A mesh on one machine for tests and the demo: pods are network namespaces joined by a bridge, with
real capture rules, real sidecars and real programs in them. Nothing is left behind: every namespace,
process and file belongs to a Mesh, whose close() takes them away."""

from .control import ControlPlane
from .mesh import SANITIZED, Mesh, Pod, Service
from .proc import Proc, WeftError, run, wait_for

__all__ = ["SANITIZED", "ControlPlane", "Mesh", "Pod", "Service", "Proc", "WeftError", "run", "wait_for"]
