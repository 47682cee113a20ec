"""The nodes behind chains, graphs and documents: one small state machine per pattern."""
