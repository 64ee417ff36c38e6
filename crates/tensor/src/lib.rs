//! Static-rank tensors and views, executors and the context every stage takes.
