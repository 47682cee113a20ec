"""The engine, pure: events, commands, run state, `advance`, and one state machine per pattern."""
