"""What is allowed: `model` (frozen records, pure), `load` (a directory of YAML, line-accurate errors), `store`
(the versions that a worker holds; every phase of an exchange resolves the version that authz pinned).
"""
