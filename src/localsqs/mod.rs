//! An SQS-compatible endpoint in memory, for the demo, tests and benchmarks.
