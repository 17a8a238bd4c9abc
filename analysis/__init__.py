"""The analysis process: heavy engines that judge texts for the gateway's workers, one process a host.

`site` takes questions over HTTP on a Unix socket, `desk` queues them for one thread an engine, `engine` is what one
looks like. `injection` is stage (c) of the injection cascade: `window` cuts texts, `minilm` turns windows into numbers
(`onnx` writes the graph that onnxruntime runs), `head` judges them. `ner` finds names. `ostiary.analysing` puts the
process together.
"""
