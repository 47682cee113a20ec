"""Open Workflow Specification documents (the CNCF Serverless Workflow DSL, 1.0): they become durable functions.

Law: pure. A document is read into tasks; a durable function goes from task to task; whatever is evaluated or done is a
step, so that the journal has its result and replay evaluates nothing. What touches the world is handed in.
"""
