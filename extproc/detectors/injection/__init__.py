"""Prompt injection, stages (a) patterns and (b) a linear model. Pure: text and provenance in, a probability out.

- `provenance`: who wrote a text.
- `normalise`: the text as a model would read it, and what its encodings hide.
- `unfold`: which encodings are opened, in which order, how deep.
- `expressions`: what an attack looks like, with stable rule ids. `patterns`: one linear pass of them.
- `linear`: hashed word n-grams with one byte of weight each, over sliding windows.
- `assess`: both together, calibrated. The only module that others need.
"""
