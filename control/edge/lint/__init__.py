"""Reads a platform team's own envoy.yaml and says, line by line, how it would weaken the gateway.

- `engine`    `lint(text)`: the way in; text and JSON reports
- `node`      YAML or JSON into a tree that knows its lines; refuses bombs
- `fetched`   what comes from files (CDS, RDS), put where a static bootstrap has it
- `quantity`  durations, sizes, percentages, enum values as protobuf JSON spells them
- `parts`     extensions, clusters, routes and HTTP managers of a tree, wrappers taken off
- `survey`    which of them are governed, and which are ours
- `rule`      what a rule is
- `table`     every rule, in order; docs/envoy-lint.md is generated from it
- `authz` `modes` `processors` `attempts` `chain` `routes` `limits` `edge` `tls` `clusters` `bootstrap`
              the rules, by area
"""
