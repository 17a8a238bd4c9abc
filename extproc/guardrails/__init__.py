"""From text to verdict: `finding` (records), `rule` (what a detector is), `scanner` (all enabled rules in one pass),
`guard` (a tenant's settings for one direction). Stages find; policy decides; shadow is applied last.
"""
