"""Content classes of whole texts: what a text is about or asks for. Pure: text in, a score for each class out.

- `classes`: the classes and their rule ids; which of them nothing measures yet.
- `expressions`: terms and phrases of each class, with weights, and contexts that take evidence away.
- `lexicon`: one linear pass of them.
- `twin`: two hashed linear models in one pass.
- `assess`: the lexicon and the models together. The only module that others need.
"""
