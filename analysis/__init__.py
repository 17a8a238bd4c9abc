"""The analysis process: heavy engines that judge texts for the gateway's workers, one process a host.

`site` takes questions over HTTP on a Unix socket, `desk` queues them for one thread an engine, `engine` is what one
looks like. `injection` is stage (c) of the injection cascade: `window` cuts texts, `minilm` turns windows into numbers
(`onnx` writes the graph that onnxruntime runs), `head` judges them. `ner` finds names. `similar` names the answer to a
like question: `verdict` judges what `pair` tells of two; an `index` finds candidates, in memory (`neighbours`) or in a
Redis 8 that hosts share (`vectorset`, and `veil` for what may lie there). `ostiary.analysing` puts it all together.
"""
